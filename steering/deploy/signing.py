"""A configuration profile signed, so that devices show who made it and notice a change."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from steering.deploy.errors import DeployError


def signed(profile: bytes, *, chain_pem: bytes, key_pem: bytes) -> bytes:
    """CMS in DER with the profile inside, as Apple's devices take it.

    chain_pem: the signer's certificate, then those above it.  Raises DeployError for what cannot sign.
    """
    signer, *above = _chain(chain_pem)
    key = _key(key_pem)
    if key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ) != signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise DeployError("the signing key is not that of the first signing certificate")
    builder = PKCS7SignatureBuilder().set_data(profile).add_signer(signer, key, hashes.SHA256())
    for certificate in above:
        builder = builder.add_certificate(certificate)
    return builder.sign(Encoding.DER, [PKCS7Options.Binary])


def _chain(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as exc:
        raise DeployError(f"the signing certificate is no certificate in PEM: {exc}") from exc


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as exc:
        raise DeployError("the signing key is encrypted: give it decrypted, in a file that you delete after") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise DeployError(f"the signing key is no private key in PEM: {exc}") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise DeployError("the signing key is neither RSA nor of an elliptic curve: profiles cannot be signed with it")
    return key
