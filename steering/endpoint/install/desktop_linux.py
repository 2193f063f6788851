"""The proxy setting of Linux desktops: GNOME and what follows it, and KDE."""

from steering.endpoint.install.actions import Command, Edit, GSetting, Step
from steering.endpoint.install.edits import Block, IniValues, Whole
from steering.endpoint.install.machine import Machine
from steering.formats.quoting import gvariant

SCHEMA = "org.gnome.system.proxy"
DCONF_DATABASE, DCONF_PROFILE = "/etc/dconf/db/steering.d/60-proxy", "/etc/dconf/profile/user"


def steps(machine: Machine, pac_url: str) -> tuple[Step, ...]:
    if machine.system != "linux":
        return ()
    gnome = _gnome_for_all(machine, pac_url) if machine.everybody else _gnome_for_one(machine, pac_url)
    return (*gnome, *_kde(machine, pac_url))


def _gnome_for_one(machine: Machine, pac_url: str) -> tuple[Step, ...]:
    if not machine.has("gsettings"):
        return ()
    actions = (
        GSetting(schema=SCHEMA, key="autoconfig-url", value=gvariant(pac_url)),
        GSetting(schema=SCHEMA, key="mode", value="'auto'"),
    )
    return (Step(name="GNOME proxy", why="GNOME's programs, Chrome and Firefox use the PAC", actions=actions),)


def _gnome_for_all(machine: Machine, pac_url: str) -> tuple[Step, ...]:
    """A system database below each user's own (dconf(7)): who has chosen otherwise keeps it."""
    if not machine.has("dconf"):
        return ()
    profile, content = machine.at(DCONF_PROFILE), f"[system/proxy]\nmode='auto'\nautoconfig-url={gvariant(pac_url)}\n"
    # Without a profile a user's own database is the only one, and has to be named with ours.
    change = Block(lines=("system-db:steering",), opening="user-db:user\n")
    update = ("dconf", "update") if str(machine.root) == "/" else ("dconf", "update", str(machine.at("/etc/dconf/db")))
    actions = (
        Edit(path=str(machine.at(DCONF_DATABASE)), change=Whole(content=content)),
        Edit(path=str(profile), change=change),
        Command(name="dconf update", do=update, undo=update, late=True),
    )
    return (Step(name="GNOME proxy", why="GNOME's programs, Chrome and Firefox use the PAC", actions=actions),)


def _kde(machine: Machine, pac_url: str) -> tuple[Step, ...]:
    if not any(machine.has(program) for program in ("kwriteconfig5", "kwriteconfig6", "plasmashell")):
        return ()
    path = machine.at("/etc/xdg/kioslaverc") if machine.everybody else machine.home / ".config/kioslaverc"
    # 2: by a PAC whose address is given (kio/kprotocolmanager).
    values = (("Proxy Config Script", pac_url), ("ProxyType", "2"))
    edit = Edit(path=str(path), change=IniValues(section="Proxy Settings", values=values))
    return (Step(name="KDE proxy", why="KDE's programs use the PAC", actions=(edit,)),)
