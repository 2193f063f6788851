"""The shipped ``rules.json`` is the vendor's table of default bypass rules: its names, domains, categories and states.

Written out here a second time, from the table and not from the file.  Domains that the table lists twice in one rule
stand once; otherwise they are as the table writes them, oddities included, and ``steering check`` explains those
(tests/policy/test_lint.py).
"""

import pytest

from steering.catalog import load_categories
from steering.policy import Action, Flow, RuleSet, compile_policy, parse_host
from steering.policy.document import load_document
from steering.policy.model import RuleModel
from steering.resources import starter_rules

# name, without " - Pre-configured": domains
BYPASSES = {
    "Bypass sensitive traffic": "",
    "Bypass Microsoft updates": """
        login.live.com settings-win.data.microsoft.com vortex-win.data.microsoft.com delivery.mp.microsoft.com
        tsfe.trafficshaping.dsp.mp.microsoft.com update.microsoft.com sls.update.microsoft.com login.microsoft.com""",
    "Bypass Adobe updates": "adobe.com adobetag.com",
    "Bypass Java updates": "sjremetrics.java.com javadl-esd-secure.oracle.com",
    "Bypass Mozilla Firefox updates": "download-installer.cdn.mozilla.net",
    "Bypass AWS console": """
        console.aws.amazon.com docs.aws.amazon.com signin.aws.amazon.com fls-na.amazon.com cdn.assets.as2.amazonaws.com
        aws-signin-website-assets.s3.amazonaws.com opfcaptcha-prod.s3.amazonaws.com d1dgtfo2wk29o4.cloudfront.net
        Images-na.ssl-images-amazon.com""",
    "Bypass Dropbox": "dropbox.com dropboxapi.com previews.dropboxusercontent.com mmp.getdropbox.com",
    "Bypass Google services": """
        accounts.google.com alt2-mtalk.google.com android.clients.google.com www.google.com android.googleapis.com
        cryptauthenrollment.googleapis.com device-provisioning.googleapis.com digitalassetlinks.googleapis.com
        fcmconnection.googleapis.com fcmtoken.googleapis.com firebaseperusertopics-pa.googleapis.com
        play.googleapis.com semanticlocation-pa.googleapis.com lh3.googleusercontent.com play-lh.googleusercontent.com
        gstatic.com gvt1.com""",
    "Bypass OneDrive": """
        cdn.funcaptcha.com fpt.live.com login.live.com odc.officeapps.live.com skyapi.policies.live.net signup.live.com
        skyapi.live.net pipe.aria.microsoft.com data.microsoft.com svc.ms msauth.net onedrive.com cdn.onenote.net""",
    "Bypass LogMeIn": """
        cdngetgo.com expertcity.com getgo.com getgocdn.com getgoservices.com getgoservices.net go2assist.me
        gofastchat.com goto-rtc.com gotoassist.com gotoassist.at gotoassist.me gotomeet.me gotomeet.at gotomeeting.com
        gotomypc.com gotostage.com gototraining.com gotowebinar.com helpme.net accounts.logme.in joingotomeeting.com
        jointraining.com joinwebinar.com logmein.com logmeininc.com logmeinrescue.com""",
    "Bypass Microsoft Lync and Skype": "lync.com az801095.vo.msecnd.net i.s-microsoft.com",
    "Bypass Apple services": """
        p24-keyvalueservice.icloud.com apps.apple.com itunes.apple.com mzstatic.com gs-loc.apple.com gsa.apple.com
        securemetrics.apple.com swscan.apple.com xp.apple.com icloud.com ppq.apple.com akadns.net mail.me.com
        music.apple.com""",
    "Bypass Bitdefender services": """
        cdn.bitdefender.net download.bitdefender.com login.bitdefender.net login.bitdefender.com nimbus.bitdefender.net
        push.bitdefender.net upgrade.bitdefender.com""",
    "Bypass Zoom": "zoom.us",
    "Bypass Webex": "webex.com",
    "Bypass Spotify": "spotify.com",
}
SENSITIVE = "Bypass sensitive traffic"
CATEGORIES = ["Financial Services", "Government", "Health and Medicine", "Legal"]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_document(starter_rules().read_bytes(), load_categories())


def test_the_whole_file(rules: RuleSet) -> None:
    def significant(rule: RuleModel) -> dict[str, object]:
        return rule.model_dump(mode="json", exclude={"reason", "source_url", "note"})

    assert [significant(rule) for rule in rules.model.rules] == [
        {
            "name": f"{name} - Pre-configured",
            "enabled": name != SENSITIVE,
            "action": "bypass",
            "source": [],
            "programs": [],
            "domains": domains.split(),
            "categories": CATEGORIES if name == SENSITIVE else [],
            "addresses": [],
            "not_before": None,
            "expires_at": None,
            "preconfigured": True,
            "owner": "",
            "ticket": "",
        }
        for name, domains in BYPASSES.items()
    ]


def test_the_figures(rules: RuleSet) -> None:
    listed = [domain.name for rule in rules.rules for domain in rule.domains]
    assert (len(rules.rules), sum(rule.enabled for rule in rules.rules)) == (16, 15)
    assert (len(listed), len(set(listed))) == (110, 109)  # login.live.com stands in two rules
    assert all(len(set(rule.domains)) == len(rule.domains) for rule in rules.rules)


def test_there_are_no_groups_and_every_rule_says_where_it_is_from(rules: RuleSet) -> None:
    assert rules.model.groups == {}
    assert [rule.name for rule in rules.model.rules if not rule.source_url.startswith("https://")] == []
    assert [rule.name for rule in rules.model.rules if rule.reason is None] == []


def test_each_domain_is_bypassed_with_its_children_and_no_other(rules: RuleSet) -> None:
    policy = compile_policy(rules)
    listed = {domain.lower() for domains in BYPASSES.values() for domain in domains.split()}

    def bypassed(name: str) -> bool:
        return policy.decide(Flow(host=parse_host(name)), 0.0).bypasses

    def expected(name: str) -> bool:
        labels = name.split(".")
        return any(".".join(labels[i:]) in listed for i in range(len(labels)))

    for domain in listed:
        parent = domain.partition(".")[2]
        near = [domain, domain.upper() + ".", f"a.{domain}", f"b.a.{domain}", f"x{domain}", f"{domain}.example"]
        for name in [*near, *([parent] if "." in parent else [])]:
            assert bypassed(name) is expected(name.lower().rstrip(".")), name


def test_the_sensitive_rule_does_something_once_it_is_enabled(rules: RuleSet) -> None:
    enabled = rules.model.model_copy(
        update={"rules": [rule.model_copy(update={"enabled": True}) for rule in rules.model.rules]}
    )
    policy = compile_policy(load_document(enabled.model_dump_json(by_alias=True), rules.categories))
    before = compile_policy(rules)
    for category in CATEGORIES:
        names = rules.categories.domains[category]
        assert names, category
        for name in names:
            flow = Flow(host=parse_host(f"www.{name}"))  # a whole top-level domain may be listed
            assert before.decide(flow, 0.0).action is Action.INSPECT
            assert policy.decide(flow, 0.0).bypasses
