"""Windows itself behind ``WindowsSystem``: calls through ctypes, shaped by ``windows_layouts``.

Not yet run on a real machine.
"""

import ctypes
from collections.abc import Mapping
from uuid import UUID

from steering.endpoint.identify import windows_layouts as layouts
from steering.endpoint.identify.foreign import Function, bind
from steering.endpoint.identify.windows_signer import WindowsSigner
from steering.endpoint.identify.windows_system import WindowsFolders, WindowsProcess

_TRIES = 8  # between two calls more connections may have come than the room to spare takes
_LONGEST_PATH = 32768


class WindowsCalls:
    """A ``WindowsSystem``.  call: the functions of ``windows_layouts.FUNCTIONS`` by name."""

    def __init__(self, call: Mapping[str, Function]) -> None:
        self._call = call
        self._signer = WindowsSigner(call)

    def now(self) -> int:
        stamp = ctypes.c_uint64()
        self._call["GetSystemTimePreciseAsFileTime"](ctypes.addressof(stamp))
        return stamp.value

    def tcp_table(self, version: int) -> bytes:
        family = layouts.AF_INET if version == 4 else layouts.AF_INET6
        size = ctypes.c_uint32(65536)
        for _ in range(_TRIES):
            room = ctypes.create_string_buffer(size.value)
            failed = self._call["GetExtendedTcpTable"](
                room, ctypes.addressof(size), 0, family, layouts.TCP_TABLE_OWNER_MODULE_CONNECTIONS, 0
            )
            if failed == layouts.ERROR_SUCCESS:
                return room.raw
            if failed != layouts.ERROR_INSUFFICIENT_BUFFER:
                raise OSError(f"GetExtendedTcpTable failed with error {failed}")
            size.value += size.value // 4
        raise OSError("the table of connections grows faster than it can be read")

    def process(self, pid: int) -> WindowsProcess | None:
        handle = self._call["OpenProcess"](_unsigned(layouts.PROCESS_QUERY_LIMITED_INFORMATION), 0, _unsigned(pid))
        if not handle:
            return None
        try:
            return self._seen(handle)
        finally:
            self._call["CloseHandle"](handle)

    def _seen(self, handle: int) -> WindowsProcess | None:
        times = (ctypes.c_uint64 * 4)()
        first = ctypes.addressof(times)
        if not self._call["GetProcessTimes"](handle, *(first + 8 * i for i in range(4))):
            return None
        native = False
        image = self._image(handle, 0)
        if not image:
            native = True  # of WSL, or from a volume that is gone
            image = self._image(handle, layouts.PROCESS_NAME_NATIVE)
        return WindowsProcess(
            created=int(times[0]), image=image, native=native, sid=self._sid(handle), family=self._family(handle)
        )

    def _image(self, handle: int, kind: int) -> str:
        text = ctypes.create_unicode_buffer(_LONGEST_PATH)
        size = ctypes.c_uint32(_LONGEST_PATH)
        done = self._call["QueryFullProcessImageNameW"](handle, kind, text, ctypes.addressof(size))
        return text.value if done else ""

    def _sid(self, handle: int) -> bytes:
        token = ctypes.c_void_p()
        if not self._call["OpenProcessToken"](handle, layouts.TOKEN_QUERY, ctypes.addressof(token)):
            return b""
        try:
            room = ctypes.create_string_buffer(256)  # TOKEN_USER and the longest SID (68 bytes)
            size = ctypes.c_uint32()
            if not self._call["GetTokenInformation"](token, layouts.TokenUser, room, len(room), ctypes.addressof(size)):
                return b""
            sid = layouts.TOKEN_USER.number("User.Sid", room.raw)
            return ctypes.string_at(sid, self._call["GetLengthSid"](sid) or 0)
        finally:
            self._call["CloseHandle"](token)

    def _family(self, handle: int) -> str:
        size = ctypes.c_uint32(256)
        text = ctypes.create_unicode_buffer(size.value)
        failed = self._call["GetPackageFamilyName"](handle, ctypes.addressof(size), text)
        return "" if failed else text.value

    def account(self, sid: bytes) -> str | None:
        name, domain = ctypes.create_unicode_buffer(512), ctypes.create_unicode_buffer(512)
        name_size, domain_size, use = ctypes.c_uint32(512), ctypes.c_uint32(512), ctypes.c_uint32()
        sizes = ctypes.addressof(name_size), ctypes.addressof(domain_size)
        done = self._call["LookupAccountSidW"](
            None, ctypes.create_string_buffer(sid, len(sid)), name, sizes[0], domain, sizes[1], ctypes.addressof(use)
        )
        if not done or not name.value:
            return None
        return f"{domain.value}\\{name.value}" if domain.value else name.value

    def folders(self) -> WindowsFolders:
        """From the system, not from the environment: that is whoever's who started the program."""
        found = {name: self._folder(guid) for name, guid in layouts.KNOWN_FOLDERS.items()}
        windows = found.pop("FOLDERID_Windows")
        return WindowsFolders(programs=tuple(filter(None, found.values())), windows=windows)

    def _folder(self, guid: str) -> str:
        wanted = ctypes.create_string_buffer(UUID(guid).bytes_le, 16)
        place = ctypes.c_void_p()
        failed = self._call["SHGetKnownFolderPath"](wanted, 0, None, ctypes.addressof(place))
        try:
            return "" if failed or not place.value else ctypes.wstring_at(place.value)
        finally:
            self._call["CoTaskMemFree"](place)

    def signer(self, path: str) -> str | None:
        return self._signer.of(path)


def load_windows() -> WindowsCalls:
    """Raises OSError where this is not Windows, or one that lacks a function."""
    load = getattr(ctypes, "WinDLL", None)
    if load is None:
        raise OSError("this is not Windows")
    call: dict[str, Function] = {}
    for library, shapes in layouts.FUNCTIONS.items():
        call.update(bind(load(library, use_last_error=True), shapes))
    return WindowsCalls(call)


def _unsigned(number: int) -> int:
    return ctypes.c_int32(number).value
