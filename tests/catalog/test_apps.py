"""The catalog against the tables it was made from, and the rules that are made of it."""

from dataclasses import dataclass
from datetime import date

import pytest

from steering.catalog import App, By, CatalogError, Kind, find_app, load_apps, rule_for
from steering.policy.domains import parse_domain
from steering.policy.lint import lint
from steering.policy.model import RulesModel
from steering.policy.rules import RuleSet, read_rules


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the published table: programs per system and domains, as it prints them but for its slips."""

    windows: str = ""
    macos: str = ""
    domains: str = ""


# The whole table of https://support.perimeter81.com/docs/certificate-pinning, 27 February 2025.  Three slips are put
# right: sjremetrics.java.comm, atmrg.exe and eus-streaming-video-msn-com, which is no name.  The rows that only point
# to lists elsewhere (Adobe, LogMeIn, Microsoft Defender) are held to those lists below.
TABLE: dict[str, Row] = {
    "adobe": Row(),
    "apple-services": Row(
        domains="p24-keyvalueservice.icloud.com apps.apple.com itunes.apple.com mzstatic.com gs-loc.apple.com "
        "gsa.apple.com securemetrics.apple.com swscan.apple.com xp.apple.com icloud.com ppq.apple.com akadns.net "
        "mail.me.com"
    ),
    "aws-console": Row(
        domains="console.aws.amazon.com docs.aws.amazon.com signin.aws.amazon.com fls-na.amazon.com "
        "cdn.assets.as2.amazonaws.com aws-signin-website-assets.s3.amazonaws.com opfcaptcha-prod.s3.amazonaws.com "
        "d1dgtfo2wk29o4.cloudfront.net Images-na.ssl-images-amazon.com"
    ),
    "bitdefender": Row(
        domains="cdn.bitdefender.net download.bitdefender.com login.bitdefender.net login.bitdefender.com "
        "nimbus.bitdefender.net push.bitdefender.net upgrade.bitdefender.com"
    ),
    "dropbox": Row(windows="dropbox.exe dropboxupdate.exe", macos="com.getdropbox.dropbox"),
    "evernote": Row(
        windows="evernote.exe",
        domains="announce.evernote.com cd1.evernote.com evernote-a.akamaihd.net www.evernote.com",
    ),
    "google-drive": Row(
        windows="googledrivesync.exe GoogleDriveFS.exe",
        macos="com.google.drivefs com.google.drivefs.finderhelper.findersync",
    ),
    "google-services": Row(
        domains="accounts.google.com alt2-mtalk.google.com android.clients.google.com www.google.com "
        "android.googleapis.com cryptauthenrollment.googleapis.com device-provisioning.googleapis.com "
        "digitalassetlinks.googleapis.com fcmconnection.googleapis.com fcmtoken.googleapis.com "
        "firebaseperusertopics-pa.googleapis.com play.googleapis.com semanticlocation-pa.googleapis.com "
        "lh3.googleusercontent.com play-lh.googleusercontent.com gstatic.com gvt1.com"
    ),
    "java-updates": Row(domains="sjremetrics.java.com javadl-esd-secure.oracle.com"),
    "logmein": Row(windows="logmein.exe"),
    "microsoft-defender": Row(),
    "microsoft-lync-skype": Row(domains="lync.com az801095.vo.msecnd.net i.s-microsoft.com"),
    "microsoft-office365": Row(domains="office365.com office.net office.com"),
    "onedrive": Row(
        domains="cdn.funcaptcha.com fpt.live.com login.live.com odc.officeapps.live.com skyapi.policies.live.net "
        "signup.live.com skyapi.live.net pipe.aria.microsoft.com data.microsoft.com svc.ms msauth.net onedrive.com "
        "cdn.onenote.net"
    ),
    "windows-store": Row(
        domains="wns.windows.com live.com clientconfig.passport.net wustat.windows.com windowsupdate.com "
        "msftncsi.com microsoft.com"
    ),
    "microsoft-updates": Row(
        domains="login.live.com settings-win.data.microsoft.com vortex-win.data.microsoft.com "
        "delivery.mp.microsoft.com tsfe.trafficshaping.dsp.mp.microsoft.com update.microsoft.com "
        "sls.update.microsoft.com login.microsoft.com"
    ),
    "slack": Row(windows="slack.exe", macos="com.tinyspeck.slackmacgap com.tinyspeck.slackmacgap.helper"),
    "spotify": Row(domains="spotify.com"),
    "webex": Row(windows="atmgr.exe wmlhost.exe webexmta.exe washost.exe", domains="webex.com"),
    "zoom": Row(windows="zoom.exe", macos="us.zoom.xos", domains="zoom.us"),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_is_whole(name: str) -> None:
    """Every entry of the table stands in the catalog; what the catalog adds to a row's domains is marked or sourced."""
    app, row = load_apps()[name], TABLE[name]
    verified = _without(app, app.unverified)
    assert [p for p in app.programs.windows if p in row.windows.split()] == row.windows.split()
    assert [p for p in app.programs.macos if p in row.macos.split()] == row.macos.split()
    assert [d for d in app.domains if d in row.domains.split()] == row.domains.split()
    assert set(app.programs.windows) - set(row.windows.split()) <= set(app.unverified)
    assert set(app.programs.macos) - set(row.macos.split()) <= set(app.unverified)
    if len(app.sources) == 1:
        assert set(verified.domains) <= set(row.domains.split())


def _without(app: App, entries: list[str]) -> App:
    return app.model_copy(update={"domains": [d for d in app.domains if d not in entries]})


DEFENDER_STORAGE = (
    "ussus1east ussus2east ussus3east ussus4east ussus1west ussus2west ussus3west ussus4west wsus1east wsus2east "
    "wsus1west wsus2west usseu1north usseu1west wseu1north wseu1west ussuk1south ussuk1west wsuk1south wsuk1west"
)

# Names that the vendors' lists print, each of which the application's entries must take in.
LISTS: dict[str, str] = {
    "adobe": "a.adobe.com a.adobe.io a.adobecc.com a.adobecces.com a.adobeccstatic.com a.adobedtm.com "
    "a.adobeexchange.com a.adobegenuine.com a.adobegov.com a.adobe-identity.com a.adobejanus.com a.adobelogin.com "
    "a.adobeoobe.com a.adobeprojectm.com a.adobesc.com a.adobe-services.com a.adobess.com a.adobesunbreak.com "
    "a.adobetag.com a.behance.net a.ftcdn.net a.typekit.com a.typekit.net",
    "adobe-licensing": "crs.cr.adobe.com spectrum.corp.adobe.com lcs-cops.adobe.io lcs-robs.adobe.io "
    "lcs-entitlement.adobe.io lcs-ulecs.adobe.io ims-na1.adobelogin.com ims-prod06.adobelogin.com "
    "ims-prod07.adobelogin.com adobeid-na1.services.adobe.com federatedid-na1.services.adobe.com "
    "auth.services.adobe.com ccmdl.adobe.com ccmdls.adobe.com swupmf.adobe.com swupdl.adobe.com armmf.adobe.com "
    "ardownload.adobe.com ardownload2.adobe.com armdl.adobe.com agsupdate.adobe.com genuine.adobe.com "
    "prod.adobegenuine.com oobe.adobe.com lm.licenses.adobe.com",
    "logmein": "cdngetgo.com expertcity.com getgo.com getgocdn.com getgoservices.com getgoservices.net go2assist.me "
    "gofastchat.com goto-rtc.com gotoassist.com gotoassist.at gotoassist.me gotomeet.me gotomeet.at gotomeeting.com "
    "gotomypc.com gotostage.com gototraining.com gotowebinar.com helpme.net accounts.logme.in joingotomeeting.com "
    "jointraining.com joinwebinar.com logmein.com logmeininc.com logmeinrescue.com a.logmein.eu a.logmeinrescue.eu "
    "a.logmeinrescue-enterprise.com a.logmeinrescue-enterprise.eu a.logmein-gateway.com a.update.logmein.com "
    "a.logmein123.eu a.rescuemobile.eu logme.in hamachi.cc logmein123.com 123rescue.com support.me join.me "
    "secure.logmeinrescue.com a.goto.com a.getgo.com",
    "lastpass": "a.lastpass.com a.lastpass.eu",
    "microsoft-defender": "a.wdcp.microsoft.com a.wdcpalt.microsoft.com a.wd.microsoft.com a.update.microsoft.com "
    "a.delivery.mp.microsoft.com fe3cr.delivery.mp.microsoft.com a.windowsupdate.com ctldl.windowsupdate.com "
    "a.download.windowsupdate.com a.download.microsoft.com go.microsoft.com definitionupdates.microsoft.com "
    "vortex-win.data.microsoft.com settings-win.data.microsoft.com a.endpoint.security.microsoft.com "
    "a.events.data.microsoft.com a.ecs.office.com a.wns.windows.com login.microsoftonline.com login.live.com "
    "x.cp.wd.microsoft.com cdn.x.cp.wd.microsoft.com "
    + " ".join(f"{account}prod.blob.core.windows.net" for account in DEFENDER_STORAGE.split()),
    "intune": "a.manage.microsoft.com a.dm.microsoft.com a.dh.microsoft.com a.attest.azure.net "
    "displaycatalog.mp.microsoft.com licensing.mp.microsoft.com storeedgefd.dsx.mp.microsoft.com",
    "apple-enterprise": "albert.apple.com captive.apple.com gs.apple.com humb.apple.com static.ips.apple.com "
    "tbsc.apple.com deviceenrollment.apple.com deviceservices-external.apple.com gdmf.apple.com identity.apple.com "
    "iprofiles.apple.com mdmenrollment.apple.com setup.icloud.com vpp.itunes.apple.com appldnld.apple.com "
    "configuration.apple.com gg.apple.com ig.apple.com mesu.apple.com oscdn.apple.com osrecovery.apple.com "
    "skl.apple.com swcdn.apple.com swdist.apple.com swdownload.apple.com swscan.apple.com updates-http.cdn-apple.com "
    "updates.cdn-apple.com xp.apple.com gsra.apple.com wkms-public.apple.com appleid.cdn-apple.com idmsa.apple.com "
    "gsa.apple.com account.apple.com a.push.apple.com a.itunes.apple.com a.mzstatic.com a.apps.apple.com "
    "a.icloud.com a.icloud-content.com a.apple-cloudkit.com a.smoot.apple.com guzzoni.apple.com ppq.apple.com "
    "ocsp.apple.com ocsp2.apple.com valid.apple.com certs.apple.com crl.apple.com",
    "microsoft-365": "a.cloud.microsoft a.mail.protection.outlook.com a.microsoftonline.com a.microsoftonline-p.com "
    "a.mx.microsoft a.office.com a.office.net a.office365.com a.officeapps.live.com a.outlook.com a.sharepoint.com "
    "a.teams.microsoft.com config.edge.skype.com dc.services.visualstudio.com graph.windows.net in.appcenter.ms "
    "login.windows.net sts.windows.net management.azure.com",
    "dropbox": "dropbox.com dropboxapi.com dropboxusercontent.com dropboxstatic.com api-notify.dropbox.com "
    "previews.dropboxusercontent.com mmp.getdropbox.com",
    "slack": "slack.com slack-edge.com slack-files.com slack-imgs.com wss-primary.slack.com wss-backup.slack.com",
    "zoom": "zoom.us zoom.com",
    "webex": "webex.com wbx2.com webexapis.com webexcontent.com",
    "teams": "teams.microsoft.com teams.cloud.microsoft",
    "onedrive": "a.sharepoint.com",
    "outlook": "outlook.office.com outlook.office365.com outlook.cloud.microsoft",
    "whatsapp": "whatsapp.net whatsapp.com",
    "signal": "signal.org chat.signal.org cdn2.signal.org whispersystems.org",
    "discord": "discord.com discord.gg discordapp.com discordapp.net",
    "github-desktop": "github.com api.github.com raw.githubusercontent.com",
    "docker-desktop": "registry-1.docker.io hub.docker.com docker.io download.docker.com auth.docker.io",
    "1password": "1password.com 1passwordservices.com 1passwordusercontent.com a.op8.agilebits.com",
    "tailscale": "a.tailscale.com a.ts.net",
    "crowdstrike": "ts01-gyr-maverick.cloudsink.net lfodown01-gyr-maverick.cloudsink.net",
    "okta-verify": "okta.com oktapreview.com okta-emea.com okta-gov.com oktacdn.com",
    "duo": "api-1a2b.duosecurity.com admin-1.duosecurity.com sso-1.duosecurity.com dl.duosecurity.com",
    "cisco-secure-endpoint": "clam-defs.amp.cisco.com tetra-defs.amp.cisco.com",
    "proton": "proton.me protonmail.com",
    "syncthing": "relays.syncthing.net discovery.syncthing.net discovery-v4.syncthing.net",
    "teamspeak": "api.myteamspeak.com",
    "chatgpt-atlas": "chatgpt.com auth.openai.com",
    "chatgpt-ios": "ios.chat.openai.com",
    "docusign": "docusign.net a.docusign.net",
    "ninjaone": "a.ninjarmm.com",
    "teamviewer": "a.teamviewer.com",
    "cloudflare-warp": "api.cloudflareclient.com a.nel.cloudflare.com",
    "cisco-umbrella": "proxy.prod.pac.swg.umbrella.com",
    "firefox-updates": "download-installer.cdn.mozilla.net",
}

# Names that no entry may take in: other people's, or those of a vendor's far wider service.
NEVER: dict[str, str] = {
    "adobe-licensing": "www.adobe.com d1.cloudfront.net x.s3.amazonaws.com",
    "logmein": "x.internap.net x.internapcdn.net lastpass.com",
    "microsoft-defender": "x.blob.core.windows.net x.ussus1eastprod.blob.core.windows.net www.microsoft.com",
    "microsoft-365": "www.microsoft.com login.microsoft.com",
    "teams": "excel.cloud.microsoft",
    "duo": "www.duosecurity.com duosecurity.com",
}


def _takes_in(app: App, name: str) -> bool:
    return any(parse_domain(entry).matches(name) for entry in app.domains)


@pytest.mark.parametrize("app", LISTS)
def test_the_lists_are_whole(app: str) -> None:
    assert [name for name in LISTS[app].split() if not _takes_in(load_apps()[app], name)] == []


@pytest.mark.parametrize("app", NEVER)
def test_nothing_wider_is_taken_in(app: str) -> None:
    assert [name for name in NEVER[app].split() if _takes_in(load_apps()[app], name)] == []


# Beyond the published table: (application, system, programs; '?' marks those that nobody has checked).
PROGRAMS = [
    ("1password", "windows", "1Password.exe?"),
    ("1password", "macos", "com.1password.1password"),
    ("apple-services", "windows", "iCloudServices.exe? iCloudDrive.exe?"),
    ("apple-services", "macos", "com.apple.bird? com.apple.cloudd? com.apple.appstore?"),
    ("crowdstrike", "windows", "CSFalconService.exe?"),
    ("crowdstrike", "linux", "falcon-sensor"),
    ("discord", "macos", "com.hnc.Discord"),
    ("docker-desktop", "macos", "com.docker.backend com.docker.vpnkit com.electron.dockerdesktop"),
    ("docker-desktop", "linux", "dockerd containerd"),
    ("github-desktop", "macos", "com.github.GitHubClient"),
    ("microsoft-defender", "windows", "MsMpEng.exe? MsSense.exe? SenseCncProxy.exe? SenseIR.exe? MpCmdRun.exe?"),
    ("microsoft-defender", "macos", "com.microsoft.wdav?"),
    ("microsoft-defender", "linux", "wdavdaemon?"),
    ("okta-verify", "windows", "OktaVerify.exe?"),
    ("outlook", "macos", "com.microsoft.Outlook"),
    ("signal", "macos", "org.whispersystems.signal-desktop org.whispersystems.signal-desktop.helper"),
    ("spotify", "macos", "com.spotify.client?"),
    ("tailscale", "windows", "tailscale-ipn.exe tailscale.exe tailscaled.exe"),
    ("tailscale", "macos", "io.tailscale.ipn.macos io.tailscale.ipn.macos.network-extension io.tailscale.ipn.macsys "
                           "io.tailscale.ipn.macsys.network-extension"),
    ("tailscale", "linux", "tailscaled"),
    ("teams", "windows", "ms-teams.exe Teams.exe?"),
    ("teams", "macos", "com.microsoft.teams2"),
    ("telegram", "macos", "ru.keepcoder.Telegram"),
    ("twingate", "windows", "twingate.exe twingate.service.exe twingateupdater.exe"),
    ("webex", "windows", "atmgr.exe? wmlhost.exe webexmta.exe washost.exe"),
    ("whatsapp", "macos", "net.whatsapp.WhatsApp"),
]  # fmt: skip


@pytest.mark.parametrize(("app", "system", "programs"), PROGRAMS, ids=lambda value: str(value)[:30])
def test_programs_and_what_is_not_checked(app: str, system: str, programs: str) -> None:
    found = load_apps()[app]
    have: list[str] = getattr(found.programs, system)
    assert [p + ("?" if p in found.unverified else "") for p in have] == programs.split()


KINDS = {
    Kind.ALLOWLIST: {"adobe", "lastpass", "logmein", "microsoft-office365"},
    Kind.VENDOR_NO_INSPECT: {
        "adobe-licensing", "apple-enterprise", "aws-console", "chatgpt-ios", "cisco-umbrella", "cloudflare-warp",
        "discord", "docker-desktop", "docusign", "github-desktop", "intune", "java-updates", "microsoft-365",
        "microsoft-lync-skype", "ninjaone", "okta-verify", "outlook", "teams", "teamviewer", "twingate",
        "windows-store",
    },
    Kind.PINNED: {
        "1password", "apple-services", "bitdefender", "chatgpt-atlas", "cisco-secure-endpoint", "crowdstrike",
        "dropbox", "duo", "evernote", "firefox-updates", "google-drive", "google-services", "microsoft-defender",
        "microsoft-updates", "onedrive", "proton", "signal", "slack", "spotify", "syncthing", "tailscale",
        "teamspeak", "telegram", "webex", "whatsapp", "zoom",
    },
}  # fmt: skip


def test_kinds() -> None:
    assert {kind: {app.id for app in load_apps().values() if app.kind is kind} for kind in Kind} == KINDS


@pytest.mark.parametrize("app", ["aws-console", "docker-desktop", "github-desktop", "google-drive", "webex"])
def test_what_can_be_fixed_says_how(app: str) -> None:
    assert load_apps()[app].fix.endswith(".")


@pytest.mark.parametrize("app", load_apps().values(), ids=lambda app: app.id)
def test_every_application_names_sources_and_date_and_can_be_a_rule(app: App) -> None:
    assert all(source.startswith("https://") or source.endswith(".") for source in app.sources)
    assert date(2025, 2, 27) <= app.date <= date(2026, 12, 31)
    assert len(app.entries()) == len(set(app.entries()))
    for by in By:
        try:
            rule = rule_for(app, by, unverified=True)
        except CatalogError:
            assert not (app.domains if by is By.DOMAINS else app.programs.windows and app.domains)
            continue
        _read(rule)


# Entries that another one of the same application takes in, because the source prints both.
PRINTED_TWICE = {"p24-keyvalueservice.icloud.com", "accounts.logme.in", "sls.update.microsoft.com"}


@pytest.mark.parametrize("app", [app for app in load_apps().values() if app.domains], ids=lambda app: app.id)
def test_no_entry_is_idle(app: App) -> None:
    rule_set = _read(rule_for(app, By.DOMAINS, unverified=True))
    found = [f for f in lint(rule_set, 0) if f.code not in ("shared-suffix",)]
    assert [f.message for f in found if not any(f"'{name}'" in f.message for name in PRINTED_TWICE)] == []


def _read(rule: dict[str, object]) -> RuleSet:
    rule_set, problems = read_rules(RulesModel.model_validate({"rules": [rule]}))
    assert rule_set is not None, problems
    return rule_set


def test_a_rule_goes_by_domains_unless_told_otherwise() -> None:
    assert rule_for(load_apps()["zoom"]) == {
        "name": "Bypass Zoom",
        "enabled": True,
        "action": "bypass",
        "domains": ["zoom.us"],
        "reason": "pinned",
        "source_url": "https://support.perimeter81.com/docs/certificate-pinning",
    }
    assert rule_for(load_apps()["zoom"], By.BOTH, unverified=True) == {
        "name": "Bypass Zoom",
        "enabled": True,
        "action": "bypass",
        "programs": ["windows:zoom.exe", "macos:us.zoom.xos", "linux:zoom"],
        "domains": ["zoom.us", "zoom.com"],
        "reason": "pinned",
        "source_url": "https://support.perimeter81.com/docs/certificate-pinning",
    }


def test_a_rule_goes_by_programs_where_no_domain_is_verified() -> None:
    rule = rule_for(load_apps()["slack"])
    assert "domains" not in rule
    assert rule["programs"] == [
        "windows:slack.exe", "macos:com.tinyspeck.slackmacgap", "macos:com.tinyspeck.slackmacgap.helper",
    ]  # fmt: skip


def test_an_application_may_ask_for_both() -> None:
    rule = rule_for(load_apps()["chatgpt-atlas"])
    assert (rule["programs"], rule["domains"]) == (["macos:com.openai.atlas"], ["chatgpt.com", "auth.openai.com"])


@pytest.mark.parametrize("app", load_apps().values(), ids=lambda app: app.id)
def test_what_only_must_be_reachable_comes_disabled(app: App) -> None:
    assert rule_for(app, unverified=True)["enabled"] is (app.kind is not Kind.ALLOWLIST)


def test_networks_go_with_the_domains() -> None:
    assert "68.64.0.0/19" in str(rule_for(load_apps()["logmein"])["addresses"])
    assert "addresses" not in rule_for(load_apps()["logmein"], By.PROGRAMS)


@pytest.mark.parametrize(("app", "by"), [("spotify", By.PROGRAMS), ("duo", By.BOTH), ("google-drive", By.DOMAINS)])
def test_nothing_verified_to_go_by(app: str, by: By) -> None:
    with pytest.raises(CatalogError, match=r"no verified (program|domain) of"):
        rule_for(load_apps()[app], by)


@pytest.mark.parametrize("name", ["zoom", "Zoom", " ZOOM ", "microsoft teams"])
def test_found_by_id_and_by_name(name: str) -> None:
    assert find_app(name).id in ("zoom", "teams")


@pytest.mark.parametrize(
    ("name", "says"),
    [("zoo", "did you mean zoom"), ("micro", "did you mean intune or"), ("", "list shows all"), ("x", "did you mean")],
)
def test_not_found_says_what_comes_near(name: str, says: str) -> None:
    with pytest.raises(CatalogError, match=says):
        find_app(name)
