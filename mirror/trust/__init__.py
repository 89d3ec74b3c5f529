"""Who signed an image, and whether that is who should have.

    policy.py          who signs what, since when                            pure
    evidence.py        what refers to an image ─► signatures as data
    judge.py           signatures, held to who should have signed ─► verdict
      simple_signing.py  cosign 2: payload, certificate and log entry below the tag sha256-HEX.sig
      bundle.py          cosign 3: a Sigstore bundle v0.3 with an in-toto statement
      keys.py            by a key pair, in either form
      certificate.py, log.py, trusted_root.py, reading.py   what those rest on
    root.py            where the trusted root comes from: a file, or TUF
    verdict.py         what is recorded, and what a policy makes of it       pure

Rules it keeps:
- what is not verified is refused: any exception while a signature is looked at is a reason against it;
- who signed is compared last, by equality: an identity that a verdict tells of is one that was proven;
- what is verified binds the digest that was planned, never a tag or a name;
- sizes and counts are bounded before anything is parsed; JSON with a key twice is refused;
- keys and authorities count only for the time that the root of trust gives them.

Importing policy, evidence, judge, root and verdict loads neither `cryptography` nor `sigstore`: what verifies is
imported where there is a signature.
"""
