"""Who signed a file on Windows: the name in the certificate that WinVerifyTrust accepted.

First the signature in the file, then the catalogs of the system, which sign most of Windows' own files.  The name is
taken from the verified state and not read from the file a second time: the file might be another one by then.
Revocation is not asked for, as that would need the network that is being decided about.  Not yet run on a real machine.
"""

import ctypes
from collections.abc import Mapping
from uuid import UUID

from steering.endpoint.identify import windows_layouts as layouts
from steering.endpoint.identify.foreign import Function

_NO_SIGNATURE = frozenset(
    {layouts.TRUST_E_NOSIGNATURE, layouts.TRUST_E_SUBJECT_FORM_UNKNOWN, layouts.TRUST_E_PROVIDER_UNKNOWN}
)
_NO_WINDOW = ctypes.c_void_p(-1).value
_NO_FILE = _NO_WINDOW


class WindowsSigner:
    """call: Windows' functions by name."""

    def __init__(self, call: Mapping[str, Function]) -> None:
        self._call = call
        self._action = ctypes.create_string_buffer(UUID(layouts.GENERIC_VERIFY_V2).bytes_le, 16)

    def of(self, path: str) -> str | None:
        """ "" where nobody signed it, or the signature is not good; None where the file cannot be read."""
        name = ctypes.create_unicode_buffer(path)
        access = ctypes.c_int32(layouts.GENERIC_READ).value
        shared = layouts.FILE_SHARE_READ | layouts.FILE_SHARE_DELETE
        file = self._call["CreateFileW"](name, access, shared, None, layouts.OPEN_EXISTING, 0, None)
        if not file or file == _NO_FILE:
            return None
        try:
            embedded = layouts.WINTRUST_FILE_INFO.build(
                {"cbStruct": layouts.WINTRUST_FILE_INFO.size, "pcwszFilePath": ctypes.addressof(name), "hFile": file}
            )
            failed, signer = self._verified(embedded, layouts.WTD_CHOICE_FILE)
            return self._in_catalogs(name, file) if failed in _NO_SIGNATURE else signer
        finally:
            self._call["CloseHandle"](file)

    def _verified(self, subject: bytes, choice: int) -> tuple[int, str]:
        """WinVerifyTrust's error, 0 for none, and then the signer's name."""
        held = ctypes.create_string_buffer(subject, len(subject))
        request = layouts.WINTRUST_DATA.build(
            {
                "cbStruct": layouts.WINTRUST_DATA.size,
                "dwUIChoice": layouts.WTD_UI_NONE,
                "fdwRevocationChecks": layouts.WTD_REVOKE_NONE,
                "dwUnionChoice": choice,
                "pFile": ctypes.addressof(held),
                "dwStateAction": layouts.WTD_STATEACTION_VERIFY,
                "dwProvFlags": layouts.WTD_REVOCATION_CHECK_NONE | layouts.WTD_CACHE_ONLY_URL_RETRIEVAL,
            }
        )
        data = ctypes.create_string_buffer(request, len(request))
        try:
            failed = self._call["WinVerifyTrust"](_NO_WINDOW, self._action, data) or 0
            state = layouts.WINTRUST_DATA.number("hWVTStateData", data.raw)
            return failed, "" if failed else self._name(state)
        finally:
            offset, _ = layouts.WINTRUST_DATA.members["dwStateAction"]
            ctypes.c_uint32.from_buffer(data, offset).value = layouts.WTD_STATEACTION_CLOSE
            self._call["WinVerifyTrust"](_NO_WINDOW, self._action, data)

    def _name(self, state: int) -> str:
        provider = self._call["WTHelperProvDataFromStateData"](state)
        signer = provider and self._call["WTHelperGetProvSignerFromChain"](provider, 0, 0, 0)
        found = signer and self._call["WTHelperGetProvCertFromChain"](signer, 0)
        if not found:
            return ""
        certificate = layouts.CRYPT_PROVIDER_CERT.number(
            "pCert", ctypes.string_at(found, layouts.CRYPT_PROVIDER_CERT.size)
        )
        text = ctypes.create_unicode_buffer(1024)
        self._call["CertGetNameStringW"](certificate, layouts.CERT_NAME_SIMPLE_DISPLAY_TYPE, 0, None, text, 1024)
        return text.value

    # Catalogs

    def _in_catalogs(self, name: ctypes.Array[ctypes.c_wchar], file: int) -> str | None:
        admin = ctypes.c_void_p()
        kind = ctypes.create_unicode_buffer("SHA256")
        if not self._call["CryptCATAdminAcquireContext2"](ctypes.addressof(admin), None, kind, None, 0):
            return None
        try:
            size = ctypes.c_uint32(64)
            digest = ctypes.create_string_buffer(64)
            calculate = self._call["CryptCATAdminCalcHashFromFileHandle2"]
            if not calculate(admin, file, ctypes.addressof(size), digest, 0):
                return None
            catalog = self._call["CryptCATAdminEnumCatalogFromHash"](admin, digest, size.value, 0, None)
            if not catalog:
                return ""
            try:
                return self._by_catalog(name, file, admin.value or 0, catalog, digest.raw[: size.value])
            finally:
                self._call["CryptCATAdminReleaseCatalogContext"](admin, catalog, 0)
        finally:
            self._call["CryptCATAdminReleaseContext"](admin, 0)

    def _by_catalog(
        self, name: ctypes.Array[ctypes.c_wchar], file: int, admin: int, catalog: int, digest: bytes
    ) -> str | None:
        place = ctypes.create_string_buffer(
            layouts.CATALOG_INFO.build({"cbStruct": layouts.CATALOG_INFO.size}), layouts.CATALOG_INFO.size
        )
        if not self._call["CryptCATCatalogInfoFromContext"](catalog, place, 0):
            return None
        where = layouts.CATALOG_INFO.octets("wszCatalogFile", place.raw).decode("utf-16-le", "replace")
        catalog_file = ctypes.create_unicode_buffer(where.partition("\0")[0])
        tag = ctypes.create_unicode_buffer(digest.hex().upper())
        hashed = ctypes.create_string_buffer(digest, len(digest))
        subject = layouts.WINTRUST_CATALOG_INFO.build(
            {
                "cbStruct": layouts.WINTRUST_CATALOG_INFO.size,
                "pcwszCatalogFilePath": ctypes.addressof(catalog_file),
                "pcwszMemberTag": ctypes.addressof(tag),
                "pcwszMemberFilePath": ctypes.addressof(name),
                "hMemberFile": file,
                "pbCalculatedFileHash": ctypes.addressof(hashed),
                "cbCalculatedFileHash": len(digest),
                "hCatAdmin": admin,
            }
        )
        return self._verified(subject, layouts.WTD_CHOICE_CATALOG)[1]
