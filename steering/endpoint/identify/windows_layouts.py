"""What Windows' structures, constants and functions look like, as far as they are used here.

Pure tables, held to the platform's headers by tests/test_layouts.py.  64-bit Windows; pointers have eight bytes.
"""

from collections.abc import Mapping

from steering.endpoint.identify.layouts import Layout

_TCP = ("winsock2.h", "ws2tcpip.h", "windows.h", "iphlpapi.h")

TCP4_TABLE = Layout(
    name="MIB_TCPTABLE_OWNER_MODULE", headers=_TCP, size=168, members={"dwNumEntries": (0, "I"), "table": (8, "160s")}
)
TCP6_TABLE = Layout(
    name="MIB_TCP6TABLE_OWNER_MODULE", headers=_TCP, size=200, members={"dwNumEntries": (0, "I"), "table": (8, "192s")}
)
TCP4_ROW = Layout(
    name="MIB_TCPROW_OWNER_MODULE",
    headers=_TCP,
    size=160,
    members={
        "dwState": (0, "I"),
        "dwLocalAddr": (4, "4s"),
        "dwLocalPort": (8, "4s"),
        "dwRemoteAddr": (12, "4s"),
        "dwRemotePort": (16, "4s"),
        "dwOwningPid": (20, "I"),
        "liCreateTimestamp": (24, "q"),
    },
)
TCP6_ROW = Layout(
    name="MIB_TCP6ROW_OWNER_MODULE",
    headers=_TCP,
    size=192,
    members={
        "ucLocalAddr": (0, "16s"),
        "dwLocalPort": (20, "4s"),
        "ucRemoteAddr": (24, "16s"),
        "dwRemotePort": (44, "4s"),
        "dwState": (48, "I"),
        "dwOwningPid": (52, "I"),
        "liCreateTimestamp": (56, "q"),
    },
)
FILETIME = Layout(
    name="FILETIME", headers=("windows.h",), size=8, members={"dwLowDateTime": (0, "I"), "dwHighDateTime": (4, "I")}
)
TOKEN_USER = Layout(
    name="TOKEN_USER",
    headers=("windows.h",),
    size=16,
    members={"User.Sid": (0, "Q"), "User.Attributes": (8, "I")},
)
_TRUST = ("windows.h", "wincrypt.h", "wintrust.h", "mscat.h")
WINTRUST_FILE_INFO = Layout(
    name="WINTRUST_FILE_INFO",
    headers=_TRUST,
    size=32,
    members={"cbStruct": (0, "I"), "pcwszFilePath": (8, "Q"), "hFile": (16, "Q"), "pgKnownSubject": (24, "Q")},
)
WINTRUST_CATALOG_INFO = Layout(
    name="WINTRUST_CATALOG_INFO",
    headers=_TRUST,
    size=72,
    members={
        "cbStruct": (0, "I"),
        "pcwszCatalogFilePath": (8, "Q"),
        "pcwszMemberTag": (16, "Q"),
        "pcwszMemberFilePath": (24, "Q"),
        "hMemberFile": (32, "Q"),
        "pbCalculatedFileHash": (40, "Q"),
        "cbCalculatedFileHash": (48, "I"),
        "pcCatalogContext": (56, "Q"),
        "hCatAdmin": (64, "Q"),
    },
)
WINTRUST_DATA = Layout(
    name="WINTRUST_DATA",
    headers=_TRUST,
    size=88,
    members={
        "cbStruct": (0, "I"),
        "dwUIChoice": (24, "I"),
        "fdwRevocationChecks": (28, "I"),
        "dwUnionChoice": (32, "I"),
        "pFile": (40, "Q"),
        "dwStateAction": (48, "I"),
        "hWVTStateData": (56, "Q"),
        "dwProvFlags": (72, "I"),
    },
)
CRYPT_PROVIDER_CERT = Layout(
    name="CRYPT_PROVIDER_CERT", headers=_TRUST, size=88, members={"cbStruct": (0, "I"), "pCert": (8, "Q")}
)
CATALOG_INFO = Layout(
    name="CATALOG_INFO", headers=_TRUST, size=524, members={"cbStruct": (0, "I"), "wszCatalogFile": (4, "520s")}
)
GUID = Layout(
    name="GUID",
    headers=("windows.h",),
    size=16,
    members={"Data1": (0, "I"), "Data2": (4, "H"), "Data3": (6, "H"), "Data4": (8, "8s")},
)
LAYOUTS = (
    TCP4_TABLE,
    TCP6_TABLE,
    TCP4_ROW,
    TCP6_ROW,
    FILETIME,
    TOKEN_USER,
    WINTRUST_FILE_INFO,
    WINTRUST_CATALOG_INFO,
    WINTRUST_DATA,
    CRYPT_PROVIDER_CERT,
    CATALOG_INFO,
    GUID,
)

AF_INET = 2
AF_INET6 = 23
TCP_TABLE_OWNER_MODULE_CONNECTIONS = 7
MIB_TCP_STATE_CLOSED = 1
MIB_TCP_STATE_LISTEN = 2
MIB_TCP_STATE_TIME_WAIT = 11
MIB_TCP_STATE_DELETE_TCB = 12
ERROR_SUCCESS = 0
ERROR_INSUFFICIENT_BUFFER = 122
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
PROCESS_NAME_NATIVE = 1
TOKEN_QUERY = 8
TokenUser = 1
WTD_UI_NONE = 2
WTD_REVOKE_NONE = 0
WTD_CHOICE_FILE = 1
WTD_CHOICE_CATALOG = 2
WTD_STATEACTION_VERIFY = 1
WTD_STATEACTION_CLOSE = 2
WTD_REVOCATION_CHECK_NONE = 0x10
WTD_CACHE_ONLY_URL_RETRIEVAL = 0x1000
TRUST_E_PROVIDER_UNKNOWN = -0x7FF4FFFF
TRUST_E_SUBJECT_FORM_UNKNOWN = -0x7FF4FFFD
TRUST_E_NOSIGNATURE = -0x7FF4FF00
CERT_NAME_SIMPLE_DISPLAY_TYPE = 4
GENERIC_READ = 0x80000000
FILE_SHARE_READ = 1
FILE_SHARE_DELETE = 4
OPEN_EXISTING = 3

CONSTANTS = {name: value for name, value in globals().items() if isinstance(value, int)}

GENERIC_VERIFY_V2 = "00aac56b-cd44-11d0-8cc2-00c04fc295ee"
KNOWN_FOLDERS = {
    "FOLDERID_ProgramFiles": "905e63b6-c1bf-494e-b29c-65b732d3d21a",
    "FOLDERID_ProgramFilesX86": "7c5a40ef-a0fb-4bfc-874a-c0f2e0b9fa8e",
    "FOLDERID_Windows": "f38bf404-1d43-42f2-9305-67de0b28fc23",
}

# Library -> function -> what it gives and takes: v nothing, i a number of four bytes, q of eight, p a pointer or
# handle.  BOOL and DWORD are i.
FUNCTIONS: Mapping[str, Mapping[str, str]] = {
    "kernel32": {
        "OpenProcess": "p:iii",
        "CloseHandle": "i:p",
        "CreateFileW": "p:piipiip",
        "GetProcessTimes": "i:ppppp",
        "GetSystemTimePreciseAsFileTime": "v:p",
        "QueryFullProcessImageNameW": "i:pipp",
        "GetPackageFamilyName": "i:ppp",
    },
    "iphlpapi": {"GetExtendedTcpTable": "i:ppiiii"},
    "advapi32": {
        "OpenProcessToken": "i:pip",
        "GetTokenInformation": "i:pipip",
        "GetLengthSid": "i:p",
        "LookupAccountSidW": "i:ppppppp",
    },
    "wintrust": {
        "WinVerifyTrust": "i:ppp",
        "WTHelperProvDataFromStateData": "p:p",
        "WTHelperGetProvSignerFromChain": "p:piii",
        "WTHelperGetProvCertFromChain": "p:pi",
        "CryptCATAdminAcquireContext2": "i:ppppi",
        "CryptCATAdminReleaseContext": "i:pi",
        "CryptCATAdminCalcHashFromFileHandle2": "i:ppppi",
        "CryptCATAdminEnumCatalogFromHash": "p:ppiip",
        "CryptCATAdminReleaseCatalogContext": "i:ppi",
        "CryptCATCatalogInfoFromContext": "i:ppi",
    },
    "crypt32": {"CertGetNameStringW": "i:piippi"},
    "shell32": {"SHGetKnownFolderPath": "i:pipp"},
    "ole32": {"CoTaskMemFree": "v:p"},
}
FUNCTION_HEADERS = (*_TRUST, *_TCP, "appmodel.h", "shlobj.h", "combaseapi.h")
