"""The helper as a systemd service: its own user with four capabilities, or a user's own service with none.

Hardened as far as its work allows: it looks at every process (no hiding of /proc, no user namespace) and at the
programs' files (read only), and speaks to the kernel's packet filter.  Before the network, as a packet filter is, so
that with capture nothing gets out before the rules are in force.
"""

from steering.endpoint.install.actions import Command, Edit, Step
from steering.endpoint.install.edits import Whole
from steering.endpoint.install.machine import SERVICE_USER, Machine
from steering.formats.quoting import unit as unit_word
from steering.formats.quoting import unit_argument

UNIT = "steering-endpoint.service"
SYSTEM_FOLDER, USER_FOLDER = "/etc/systemd/system", ".config/systemd/user"

# What each is for: capture and asking whose a socket is; the socket map; reading /proc of other users' processes.
CAPABILITIES = "CAP_NET_ADMIN CAP_BPF CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"

_SERVICE = """\
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
RestartPreventExitStatus=2
WatchdogSec=30
TimeoutStopSec=15
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes
"""

_SYSTEM = """\
[Unit]
Description=Steering endpoint helper
Wants=network-pre.target
Before=network-pre.target
StartLimitIntervalSec=0

[Service]
{service}User={user}
Group={user}
StateDirectory={user}
StateDirectoryMode=0700
AmbientCapabilities={capabilities}
CapabilityBoundingSet={capabilities}
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=default
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service bpf pidfd_open
SystemCallFilter=~@mount @swap @reboot @module @raw-io @obsolete @cpu-emulation @resources
SystemCallErrorNumber=EPERM
RemoveIPC=yes
KeyringMode=private

[Install]
WantedBy=multi-user.target
"""

_USER = """\
[Unit]
Description=Steering endpoint helper
StartLimitIntervalSec=0

[Service]
{service}
[Install]
WantedBy=default.target
"""


def unit(command: tuple[str, ...], *, everybody: bool) -> str:
    service = _SERVICE.format(command=" ".join((unit_word(command[0]), *map(unit_argument, command[1:]))))
    if everybody:
        return _SYSTEM.format(service=service, user=SERVICE_USER, capabilities=CAPABILITIES)
    return _USER.format(service=service)


def steps(machine: Machine) -> tuple[Step, ...]:
    command = (*machine.command, "--state", str(machine.state))
    return _for_all(machine, command) if machine.everybody else _for_one(machine, command)


def _for_all(machine: Machine, command: tuple[str, ...]) -> tuple[Step, ...]:
    path = machine.at(f"{SYSTEM_FOLDER}/{UNIT}")
    # An interpreter below somebody's home may be closed to others.  -P: not from the working folder, whose it may be.
    may_run = ("runuser", "-u", SERVICE_USER, "--", command[0], "-P", "-c", "import steering")
    return (
        Step(
            name="service user",
            why=f"the helper runs as {SERVICE_USER}, with four capabilities instead of root",
            actions=(
                Command(
                    name=f"user {SERVICE_USER}",
                    do=(
                        *("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"),
                        *("--home-dir", str(machine.state), SERVICE_USER),
                    ),
                    holds=("id", "-u", SERVICE_USER),
                    undo=("userdel", SERVICE_USER),
                ),
                Command(
                    name=f"owner of {machine.state}",
                    do=("chown", "-R", "-h", f"{SERVICE_USER}:{SERVICE_USER}", str(machine.state)),
                    # find fails where it has run false, for a file of somebody else's.
                    holds=("find", str(machine.state), "!", "-user", SERVICE_USER, "-exec", "false", "{}", "+"),
                    # Else the next account that gets the number would own the device's key.
                    undo=("chown", "-R", "-h", "root:root", str(machine.state)),
                ),
                Command(name=f"{SERVICE_USER} may run the helper", do=may_run, holds=may_run),
            ),
            required=True,
        ),
        _service(path.as_posix(), unit(command, everybody=True), ("systemctl",)),
    )


def _for_one(machine: Machine, command: tuple[str, ...]) -> tuple[Step, ...]:
    path = machine.home / USER_FOLDER / UNIT
    return (_service(path.as_posix(), unit(command, everybody=False), ("systemctl", "--user")),)


def _service(path: str, content: str, systemctl: tuple[str, ...]) -> Step:
    reload = (*systemctl, "daemon-reload")
    return Step(
        name="service",
        why="the helper starts with the machine and again whenever it ends",
        actions=(
            Edit(path=path, change=Whole(content=content)),
            Command(name="systemd reads its units", do=reload, undo=reload, late=True),
            Command(
                name=f"{UNIT} runs",
                do=(*systemctl, "enable", "--now", UNIT),
                holds=(*systemctl, "is-active", "--quiet", UNIT),
                undo=(*systemctl, "disable", "--now", UNIT),
            ),
        ),
        required=True,
    )
