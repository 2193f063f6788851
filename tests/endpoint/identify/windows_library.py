"""Windows' functions as tests construct them: they write into the memory that they are given, as the documentation
says they do.  Nothing here was recorded, and characters have this system's width, not Windows'."""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from steering.endpoint.identify import windows_layouts as layouts

Argument = int | ctypes.Array[ctypes.c_char] | ctypes.Array[ctypes.c_wchar] | ctypes.c_void_p | None
ACCESS_DENIED = 5


def put32(place: Argument, value: int) -> None:
    assert isinstance(place, int)
    ctypes.c_uint32.from_address(place).value = value


def put64(place: Argument, value: int) -> None:
    assert isinstance(place, int)
    ctypes.c_uint64.from_address(place).value = value


def write(place: Argument, text: str) -> None:
    assert isinstance(place, ctypes.Array)
    place.value = text


@dataclass(slots=True)
class ConstructedLibrary:
    """open: handles that were opened and not closed.  sizes: what the table needs, call by call."""

    table: bytes = b""
    sizes: Sequence[int] = (0,)
    table_error: int = 0
    image: str = r"C:\Program Files\Slack\slack.exe"
    native: str = ""
    sid: bytes = b"\x01\x05constructed"
    token: bool = True
    process_opens: bool = True
    family: str = ""
    account: tuple[str, str] = ("CORP", "anna")
    folders: Mapping[str, str] = field(default_factory=dict)
    embedded: tuple[int, str] = (0, "Slack Technologies, LLC")
    catalog: tuple[int, str] | None = None
    file_opens: bool = True
    open: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    kept: list[object] = field(default_factory=list)
    _choice: int = 0

    def functions(self) -> dict[str, Callable[..., int | None]]:
        names = [name for library in layouts.FUNCTIONS.values() for name in library]
        return {name: getattr(self, name) for name in names}

    def GetSystemTimePreciseAsFileTime(self, place: int) -> None:
        put64(place, 133_000_000_000_000_000)

    def GetExtendedTcpTable(self, room: Argument, size: int, order: int, family: int, kind: int, zero: int) -> int:
        assert isinstance(room, ctypes.Array) and (order, kind, zero) == (0, 7, 0)
        self.calls.append(f"table {family} {len(room)}")
        if self.table_error:
            return self.table_error
        wanted = self.sizes[min(len(self.calls), len(self.sizes)) - 1]
        if len(room) < wanted:
            put32(size, wanted)
            return layouts.ERROR_INSUFFICIENT_BUFFER
        ctypes.memmove(room, self.table, len(self.table))
        return 0

    # Processes

    def OpenProcess(self, access: int, inherit: int, pid: int) -> int:
        assert (access, inherit) == (0x1000, 0)
        if not self.process_opens:
            return 0
        self.open.append("process")
        return 1000 + pid

    def CloseHandle(self, handle: int | ctypes.c_void_p) -> int:
        number = handle.value if isinstance(handle, ctypes.c_void_p) else handle
        self.open.remove({2000: "token", 3000: "file"}.get(number or 0, "process"))
        return 1

    def GetProcessTimes(self, handle: int, created: int, exited: int, kernel: int, user: int) -> int:
        for place, value in ((created, 77), (exited, 0), (kernel, 1), (user, 2)):
            put64(place, value)
        return 1

    def QueryFullProcessImageNameW(self, handle: int, kind: int, text: Argument, size: int) -> int:
        found = self.native if kind == layouts.PROCESS_NAME_NATIVE else self.image
        write(text, found)
        return int(bool(found))

    def OpenProcessToken(self, handle: int, access: int, place: int) -> int:
        if not self.token:
            return 0
        assert access == layouts.TOKEN_QUERY
        self.open.append("token")
        put64(place, 2000)
        return 1

    def GetTokenInformation(self, token: Argument, kind: int, room: Argument, size: int, needed: int) -> int:
        assert isinstance(room, ctypes.Array) and kind == 1 and size == len(room)
        held = ctypes.create_string_buffer(self.sid, len(self.sid))
        self.kept.append(held)
        record = layouts.TOKEN_USER.build({"User.Sid": ctypes.addressof(held)})
        ctypes.memmove(room, record, len(record))
        return 1

    def GetLengthSid(self, sid: int) -> int:
        return len(self.sid)

    def GetPackageFamilyName(self, handle: int, size: int, text: Argument) -> int:
        write(text, self.family)
        return 0 if self.family else 15700  # APPMODEL_ERROR_NO_PACKAGE

    def LookupAccountSidW(
        self, system: None, sid: Argument, name: Argument, size: int, domain: Argument, domain_size: int, use: int
    ) -> int:
        assert isinstance(sid, ctypes.Array) and sid.raw == self.sid
        write(domain, self.account[0])
        write(name, self.account[1])
        return int(bool(self.account[1]))

    # Folders

    def SHGetKnownFolderPath(self, guid: Argument, flags: int, token: None, place: int) -> int:
        assert isinstance(guid, ctypes.Array)
        names = {UUID(text).bytes_le: name for name, text in layouts.KNOWN_FOLDERS.items()}
        found = self.folders.get(names[guid.raw])
        if found is None:
            return -1
        held = ctypes.create_unicode_buffer(found)
        self.kept.append(held)
        self.open.append("folder")
        put64(place, ctypes.addressof(held))
        return 0

    def CoTaskMemFree(self, place: ctypes.c_void_p) -> None:
        if place.value:
            self.open.remove("folder")

    # Signatures

    def CreateFileW(self, name: Argument, access: int, share: int, *rest: object) -> int:
        assert (access, share) == (-0x80000000, 5)
        if not self.file_opens:
            return 2**64 - 1
        self.open.append("file")
        return 3000

    def WinVerifyTrust(self, window: int, action: Argument, data: Argument) -> int:
        assert isinstance(data, ctypes.Array)
        read = layouts.WINTRUST_DATA.number
        if read("dwStateAction", data.raw) == layouts.WTD_STATEACTION_CLOSE:
            self.open.remove("state")
            return 0
        self.open.append("state")
        self._choice = read("dwUnionChoice", data.raw)
        self.calls.append({1: "file", 2: "catalog"}[self._choice])
        offset, _ = layouts.WINTRUST_DATA.members["hWVTStateData"]
        put64(ctypes.addressof(data) + offset, 4000)
        return self._verdict()[0]

    def _verdict(self) -> tuple[int, str]:
        return (self.embedded if self._choice == layouts.WTD_CHOICE_FILE else self.catalog) or (0, "")

    def WTHelperProvDataFromStateData(self, state: int) -> int:
        assert state == 4000
        return 5000

    def WTHelperGetProvSignerFromChain(self, provider: int, index: int, counter: int, counter_index: int) -> int:
        return 6000

    def WTHelperGetProvCertFromChain(self, signer: int, index: int) -> int:
        held = ctypes.create_string_buffer(layouts.CRYPT_PROVIDER_CERT.build({"pCert": 7000}))
        self.kept.append(held)
        return ctypes.addressof(held)

    def CertGetNameStringW(
        self, certificate: int, kind: int, flags: int, kind_of: None, text: Argument, size: int
    ) -> int:
        assert (certificate, kind) == (7000, 4)
        write(text, self._verdict()[1])
        return len(self._verdict()[1]) + 1

    def CryptCATAdminAcquireContext2(self, place: int, *rest: object) -> int:
        self.open.append("admin")
        put64(place, 8000)
        return 1

    def CryptCATAdminReleaseContext(self, admin: Argument, flags: int) -> int:
        self.open.remove("admin")
        return 1

    def CryptCATAdminCalcHashFromFileHandle2(
        self, admin: Argument, file: int, size: int, digest: Argument, flags: int
    ) -> int:
        assert isinstance(digest, ctypes.Array) and file == 3000
        ctypes.memmove(digest, b"\xab" * 32, 32)
        put32(size, 32)
        return 1

    def CryptCATAdminEnumCatalogFromHash(
        self, admin: Argument, digest: Argument, size: int, flags: int, before: None
    ) -> int:
        assert isinstance(digest, ctypes.Array) and digest.raw[:size] == b"\xab" * 32
        if self.catalog is None:
            return 0
        self.open.append("catalog")
        return 9000

    def CryptCATAdminReleaseCatalogContext(self, admin: Argument, catalog: int, flags: int) -> int:
        self.open.remove("catalog")
        return 1

    def CryptCATCatalogInfoFromContext(self, catalog: int, place: Argument, flags: int) -> int:
        assert isinstance(place, ctypes.Array)
        assert layouts.CATALOG_INFO.number("cbStruct", place.raw) == layouts.CATALOG_INFO.size
        return 1
