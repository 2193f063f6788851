"""Every file that can be made: for whom, what it does, how it is put in use, and how that is undone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from steering.deploy.facts import Facts


class Need(Enum):
    """A fact that some services lack; the value says how to supply it."""

    CA = "there is no certificate authority yet: 'steering init' or 'steering serve' makes one"
    ADDRESSES = "the service listens on every address: say with --address which one clients are to use"
    RESOLVERS = "no resolver listens on port 53 of one address: say with --resolver which one clients are to ask"
    RESOLVERS4 = "no resolver listens on port 53 of an IPv4 address: say with --resolver which one clients are to ask"
    CONFIG = "there is no configuration file for a unit to name: 'steering init' makes one"
    SEEN = (
        "program, configuration or state lies in a home or temporary folder, where no unit looks: "
        "install it as docs/deploy/linux.md says"
    )
    PROXY = "no inspector is served: set inspector.listen or inspector.advertise"


MET: Mapping[Need, Callable[[Facts], bool]] = {
    Need.CA: lambda facts: facts.ca is not None,
    Need.ADDRESSES: lambda facts: bool(facts.addresses),
    Need.RESOLVERS: lambda facts: bool(facts.resolvers),
    Need.RESOLVERS4: lambda facts: bool(facts.resolvers4),
    Need.CONFIG: lambda facts: facts.installed is not None and bool(facts.installed.config),
    Need.SEEN: lambda facts: facts.installed is None or not facts.installed.hidden,
    Need.PROXY: lambda facts: bool(facts.proxy),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """files: name -> template; one that comes out empty is not made, as steering-ca-before.pem without a rotation.

    A script takes "undo" as its argument where ``undo`` says so.
    """

    name: str
    title: str
    files: Mapping[str, str]
    does: str
    use: str
    undo: str
    needs: frozenset[Need] = frozenset()


def _target(
    name: str, title: str, files: str, *, does: str, use: str, undo: str, needs: tuple[Need, ...] = ()
) -> Target:
    """files: separated by blanks; the template of each is called as it is, with .j2 behind."""
    return Target(
        name=name,
        title=title,
        files={file: f"{file}.j2" for file in files.split()},
        does=does,
        use=use,
        undo=undo,
        needs=frozenset(needs),
    )


_PAC_BY_DHCP = "Clients that look for a proxy by themselves (WPAD) are told the PAC's address with their lease."
_WPAD = "The name wpad leads to the service, where clients that look for a proxy by themselves fetch /wpad.dat."
_RESOLVER = "Clients are told with their lease to ask Steering's resolver."
_SCRIPT = "Run 'sh {0}' as root on the device."
_UNDO_SCRIPT = "Run 'sh {0} undo' as root."
_NEXT_LEASE = "Clients notice with their next lease."


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        # The service itself
        _target(
            "systemd",
            "units of the service for systemd",
            "steering.service steering.socket steering.sysusers",
            does="The service starts with the machine, closed in, as a user of its own without any privilege: systemd "
            "binds its ports, low ones too, keeps them over a restart, and restarts it should it hang.",
            use="Copy steering.sysusers to /etc/sysusers.d/steering.conf and both units to /etc/systemd/system. Run "
            "systemd-sysusers, give the state folder to the user steering, run systemctl daemon-reload and systemctl "
            "enable --now steering.socket steering.service. After a change of what the configuration listens on, "
            "print steering.socket again.",
            undo="Run systemctl disable --now steering.service steering.socket, delete the three files, run systemctl "
            "daemon-reload and userdel steering.",
            needs=(Need.CONFIG, Need.SEEN),
        ),
        # DHCP: where the PAC is
        _target(
            "dhcp-isc",
            "option 252 for ISC dhcpd",
            "dhcpd-wpad.conf",
            does=_PAC_BY_DHCP,
            use='Copy it beside dhcpd.conf, write include "/etc/dhcp/dhcpd-wpad.conf"; there before any subnet, check '
            "with dhcpd -t, restart dhcpd.",
            undo=f"Take the include line out and restart dhcpd. {_NEXT_LEASE}",
        ),
        _target(
            "dhcp-kea",
            "option 252 for Kea",
            "kea-wpad.json",
            does=_PAC_BY_DHCP,
            use="Merge both lists into Dhcp4 of kea-dhcp4.conf (or into one subnet4), check with kea-dhcp4 -t, reload.",
            undo=f"Take both entries called wpad out and reload. {_NEXT_LEASE}",
        ),
        _target(
            "dhcp-dnsmasq",
            "option 252 for dnsmasq",
            "dnsmasq-wpad-dhcp.conf",
            does=_PAC_BY_DHCP,
            use="Copy it to /etc/dnsmasq.d, check with dnsmasq --test, restart dnsmasq.",
            undo=f"Delete the file and restart dnsmasq. {_NEXT_LEASE}",
        ),
        _target(
            "dhcp-windows",
            "option 252 for Windows DHCP",
            "dhcp-wpad.ps1",
            does=_PAC_BY_DHCP,
            use="Run it in PowerShell as administrator on the DHCP server; -ScopeId gives one scope its own.",
            undo="Run it with -Undo.",
        ),
        _target(
            "dhcp-mikrotik",
            "option 252 for MikroTik RouterOS",
            "mikrotik-wpad.rsc",
            does=_PAC_BY_DHCP,
            use="Upload it and run /import mikrotik-wpad.rsc. It adds the option to every DHCP network that has none.",
            undo="Run the two lines at its end, without the leading #.",
        ),
        # DNS: the name wpad
        _target(
            "wpad-bind",
            "the name wpad in BIND",
            "db.wpad named.conf.wpad",
            does=_WPAD,
            use='Copy both to /etc/bind, write include "/etc/bind/named.conf.wpad"; in named.conf, run rndc reload. '
            "Your own zone stays as it is.",
            undo="Take the include line out and run rndc reload.",
            needs=(Need.ADDRESSES,),
        ),
        _target(
            "wpad-dnsmasq",
            "the name wpad in dnsmasq",
            "dnsmasq-wpad-dns.conf",
            does=_WPAD,
            use="Copy it to /etc/dnsmasq.d, check with dnsmasq --test, restart dnsmasq.",
            undo="Delete the file and restart dnsmasq.",
            needs=(Need.ADDRESSES,),
        ),
        _target(
            "wpad-unbound",
            "the name wpad in unbound",
            "unbound-wpad.conf",
            does=_WPAD,
            use="Copy it to /etc/unbound/unbound.conf.d, check with unbound-checkconf, restart unbound.",
            undo="Delete the file and restart unbound.",
            needs=(Need.ADDRESSES,),
        ),
        _target(
            "wpad-windows",
            "the name wpad in Windows DNS",
            "dns-wpad.ps1",
            does=f"{_WPAD} Windows DNS refuses that name until it is taken off its global query block list.",
            use="Run it in PowerShell as administrator on each DNS server of the zone.",
            undo="Run it with -Undo: the records go, and the name is blocked again.",
            needs=(Need.ADDRESSES,),
        ),
        # The resolver
        _target(
            "resolver-isc",
            "the resolver, by ISC dhcpd",
            "dhcpd-resolver.conf",
            does=_RESOLVER,
            use="Include it in dhcpd.conf in place of the domain-name-servers there, check with dhcpd -t, restart.",
            undo=f"Put the old line back and restart dhcpd. {_NEXT_LEASE}",
            needs=(Need.RESOLVERS4,),
        ),
        _target(
            "resolver-kea",
            "the resolver, by Kea",
            "kea-resolver.json",
            does=_RESOLVER,
            use="Put the entry into option-data of Dhcp4 in place of the one there, check with kea-dhcp4 -t, reload.",
            undo=f"Put the old entry back and reload. {_NEXT_LEASE}",
            needs=(Need.RESOLVERS4,),
        ),
        _target(
            "resolver-dnsmasq",
            "the resolver, by dnsmasq",
            "dnsmasq-resolver.conf",
            does=f"{_RESOLVER} With IPv6 also by router advertisement.",
            use="Copy it to /etc/dnsmasq.d, check with dnsmasq --test, restart dnsmasq.",
            undo=f"Delete the file and restart dnsmasq. {_NEXT_LEASE}",
            needs=(Need.RESOLVERS,),
        ),
        _target(
            "resolver-windows",
            "the resolver, by Windows DHCP",
            "dhcp-resolver.ps1",
            does=_RESOLVER,
            use="Run it in PowerShell as administrator on the DHCP server. It prints the servers that were set before.",
            undo="Run it with -Before and the servers that it printed.",
            needs=(Need.RESOLVERS4,),
        ),
        _target(
            "resolver-mikrotik",
            "the resolver, by MikroTik RouterOS",
            "mikrotik-resolver.rsc",
            does=_RESOLVER,
            use="Note what /ip dhcp-server network print shows, upload the file, run /import mikrotik-resolver.rsc.",
            undo="Set dns-server of each network back to what was noted.",
            needs=(Need.RESOLVERS4,),
        ),
        _target(
            "resolver-systemd",
            "the resolver of one Linux machine",
            "resolved-steering.conf",
            does="systemd-resolved asks Steering's resolver for every name.",
            use="Copy it to /etc/systemd/resolved.conf.d and run systemctl restart systemd-resolved.",
            undo="Delete the file and restart systemd-resolved.",
            needs=(Need.RESOLVERS,),
        ),
        # Browsers
        _target(
            "chromium",
            "managed policy of Chrome, Edge, Chromium and Brave on Linux",
            "steering-policy.json",
            does="The browser uses the PAC and trusts the inspector's certificates; users cannot change either.",
            use="Copy it to /etc/opt/chrome/policies/managed, /etc/opt/edge/policies/managed, "
            "/etc/chromium/policies/managed or /etc/brave/policies/managed; look at chrome://policy. Versions before "
            "128 do not read CACertificates: use ca-nss there.",
            undo="Delete the file.",
            needs=(Need.CA,),
        ),
        _target(
            "firefox",
            "managed policy of Firefox",
            "policies.json steering-ca.pem steering-ca-before.pem",
            does="Firefox uses the PAC and trusts the inspector's certificates; users cannot change either.",
            use="Copy policies.json to /etc/firefox/policies (or into the folder distribution beside the program) and "
            "each steering-ca*.pem to /usr/lib/mozilla/certificates (or /usr/lib64/mozilla/certificates); look at "
            "about:policies.",
            undo="Delete these files; in profiles that imported it, delete the certificate under Authorities.",
            needs=(Need.CA,),
        ),
        # Windows
        _target(
            "windows-registry",
            "registry file for Windows",
            "steering.reg steering-undo.reg",
            does="Windows, Chrome, Edge and Firefox use the PAC, machine-wide; Firefox trusts what Windows trusts.",
            use="Run reg import steering.reg as administrator, or import it into a Group Policy preference.",
            undo="Run reg import steering-undo.reg.",
        ),
        _target(
            "windows-gpo",
            "Group Policy",
            "gpo.ps1 steering-ca.pem steering-ca-before.pem",
            does="A Group Policy object with the same settings, and the CA in a form that certutil publishes.",
            use="Run gpo.ps1 as a domain administrator, link the object to an organisational unit with New-GPLink.",
            undo="Run gpo.ps1 -Undo: it removes the object and the CA from the directory.",
            needs=(Need.CA,),
        ),
        _target(
            "windows-intune",
            "Intune (OMA-URI)",
            "intune.json",
            does="Windows devices use the PAC, machine-wide, and trust the inspector's certificates.",
            use="Send it by POST to deviceManagement/deviceConfigurations of Microsoft Graph, or enter its OMA-URI "
            "rows as a custom profile; assign it to a group.",
            undo="Unassign and delete the profile.",
            needs=(Need.CA,),
        ),
        # Apple
        _target(
            "apple-macos",
            "configuration profile for macOS",
            "steering-macos.mobileconfig",
            does="A Mac uses the PAC and trusts the inspector's certificates.",
            use="Give it to the MDM as a custom profile, or open it and install it in System Settings.",
            undo="Remove the profile: both settings go with it.",
            needs=(Need.CA,),
        ),
        _target(
            "apple-ios",
            "configuration profile for iPhone and iPad",
            "steering-ios.mobileconfig",
            does="A supervised device uses the PAC and trusts the inspector's certificates.",
            use="Give it to the MDM. Devices that are not supervised refuse the proxy part: use ca-ios there, and set "
            "the PAC's address in the network's settings.",
            undo="Remove the profile: both settings go with it.",
            needs=(Need.CA,),
        ),
        # Linux desktops and command lines
        _target(
            "gnome",
            "GNOME, for every user of a machine",
            "60-steering-proxy dconf-profile-user",
            does="GNOME's programs, Chrome and Firefox with the system's setting use the PAC.",
            use="Copy 60-steering-proxy to /etc/dconf/db/steering.d, add the lines of dconf-profile-user to "
            "/etc/dconf/profile/user, run dconf update.",
            undo="Delete the file, take the line system-db:steering out, run dconf update.",
        ),
        _target(
            "kde",
            "KDE, for every user of a machine",
            "kioslaverc",
            does="KDE's programs use the PAC.",
            use="Merge it into /etc/xdg/kioslaverc.",
            undo="Take the two settings out again.",
        ),
        _target(
            "networkmanager",
            "NetworkManager",
            "networkmanager-pac.sh",
            does="Connections carry the PAC's address, for programs that ask NetworkManager.",
            use=_SCRIPT.format("networkmanager-pac.sh"),
            undo=_UNDO_SCRIPT.format("networkmanager-pac.sh"),
        ),
        _target(
            "environment",
            "environment of command-line programs",
            "60-steering.conf steering.sh",
            does="Programs that know no PAC use the inspector as their proxy, which decides alike.",
            use="Copy 60-steering.conf to /etc/environment.d and steering.sh to /etc/profile.d; log in again. The CA "
            "goes into the system's store by ca-debian and the like, and to Python by ca-python.",
            undo="Delete both files and log in again.",
            needs=(Need.PROXY,),
        ),
        # The CA
        *(
            _target(
                f"ca-{store}",
                f"CA: {title}",
                f"ca-{store}.sh",
                does=f"{whose} the inspector's certificates.",
                use=_SCRIPT.format(f"ca-{store}.sh"),
                undo=_UNDO_SCRIPT.format(f"ca-{store}.sh"),
                needs=(Need.CA,),
            )
            for store, title, whose in (
                ("debian", "Debian, Ubuntu, Alpine", "The system's store trusts"),
                ("rhel", "RHEL, Fedora and relatives", "The system's store trusts"),
                ("arch", "Arch", "The system's store trusts"),
                ("suse", "SUSE", "The system's store trusts"),
                ("macos", "macOS without MDM", "The system's keychain trusts"),
                ("java", "Java", "Java programs that use the JDK's cacerts trust"),
            )
        ),
        *(
            _target(
                f"ca-{store}",
                f"CA: {title}",
                f"ca-{store}.sh",
                does=does,
                use=f"Run 'sh ca-{store}.sh' as the user.",
                undo=f"Run 'sh ca-{store}.sh undo' as the user.",
                needs=(Need.CA,),
            )
            for store, title, does in (
                ("nss", "Chromium and Firefox (NSS)", "The browsers of one user trust the inspector's certificates."),
                ("python", "Python", "Python's pip, requests and ssl trust the inspector's certificates beside all."),
                ("node", "Node", "npm and Node trust the inspector's certificates beside all others."),
                ("git", "git", "git trusts the inspector's certificates beside all others."),
            )
        ),
        _target(
            "ca-docker",
            "CA: Docker and Podman hosts",
            "ca-docker.sh",
            does="The container engine trusts the inspector's certificates for the registries that are named.",
            use="Run 'sh ca-docker.sh REGISTRY ...' as root. Docker trusts the system's store too (ca-debian and the "
            "like), once it is restarted.",
            undo="Run 'sh ca-docker.sh undo REGISTRY ...' as root.",
            needs=(Need.CA,),
        ),
        _target(
            "ca-windows",
            "CA: Windows",
            "ca-windows.ps1",
            does="Windows, Edge and Chrome trust the inspector's certificates.",
            use="Run it in PowerShell as administrator.",
            undo="Run it with -Undo.",
            needs=(Need.CA,),
        ),
        _target(
            "ca-image",
            "CA: container images",
            "Containerfile.ca steering-ca.pem steering-ca-before.pem",
            does="Programs inside an image trust the inspector's certificates.",
            use="Put each steering-ca*.pem beside your Containerfile and copy the lines of Containerfile.ca into it.",
            undo="Take the lines out and build the image anew.",
            needs=(Need.CA,),
        ),
        _target(
            "ca-android",
            "CA: Android",
            "network_security_config.xml steering-ca.pem steering-ca-before.pem",
            does="A device or an app trusts the inspector's certificates.",
            use="By an MDM: give it each steering-ca*.pem as a trusted root. By hand: Settings, Security, Encryption "
            "and credentials, Install a certificate, CA certificate. Apps trust such a CA only where they say so: "
            "network_security_config.xml is what an app of your own needs in res/xml.",
            undo="Remove the certificate under Trusted credentials, User; take the file out of the app.",
            needs=(Need.CA,),
        ),
        _target(
            "ca-ios",
            "CA: iPhone and iPad without MDM",
            "steering-ca.mobileconfig",
            does="A device trusts the inspector's certificates.",
            use="Open it on the device, install it under Profile Downloaded, then switch it on under General, About, "
            "Certificate Trust Settings.",
            undo="Remove the profile under General, VPN and Device Management.",
            needs=(Need.CA,),
        ),
    )
}


def lacking(target: Target, facts: Facts) -> tuple[Need, ...]:
    """What ``target`` needs and ``facts`` does not hold."""
    return tuple(need for need in Need if need in target.needs and not MET[need](facts))
