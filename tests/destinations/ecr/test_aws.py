"""boto3 as it is set up, and what becomes of all that it raises."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as fault
from botocore.stub import Stubber

from mirror.destinations.ecr.access import Access
from mirror.destinations.ecr.aws import Aws
from mirror.destinations.ecr.host import EcrHost
from mirror.errors import AccessDenied, MirrorError, NoCredential, NotFound, RegistryError, SettingsError, Unreachable
from mirror.http.proxies import Proxies
from tests.destinations.ecr.conftest import HOST
from tests.servers.certificates import Certificates
from tests.servers.ecr import Ecr, EcrError
from tests.servers.fake import fake_registry
from tests.servers.proxy import http_proxy

WHERE = f"{HOST}/linkerd/proxy"
Make = Callable[..., Aws]


@pytest.fixture
def make(no_aws: Path) -> Iterator[Make]:
    """AWS without anything of the machine's."""
    made: list[Aws] = []

    def make(host: EcrHost = HOST, access: Access | None = None, ca_file: str = "", **proxies: str) -> Aws:
        made.append(Aws(host, access or Access(), ca_file=ca_file, proxies=Proxies(proxies)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def describe(aws: Aws) -> Any:
    """One call."""
    return aws.call("ecr", "DescribeRepositories", where=WHERE)


def raised(aws: Aws) -> MirrorError:
    """What one call raises."""
    with pytest.raises(MirrorError) as caught:
        describe(aws)
    return caught.value


class TestEndpoints:
    @pytest.mark.parametrize(
        ("host", "endpoint"),
        [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "https://api.ecr.eu-west-1.amazonaws.com"),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "https://ecr-fips.us-east-1.amazonaws.com"),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", "https://ecr.eu-west-1.api.aws"),
            ("123456789012.dkr-ecr-fips.us-gov-west-1.on.aws", "https://ecr-fips.us-gov-west-1.api.aws"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "https://api.ecr.us-iso-east-1.c2s.ic.gov"),
        ],
    )
    def test_of_the_host(
        self, make: Make, keys: None, host: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Region, FIPS and dual-stack are the registry's, whatever AWS's own configuration says."""
        monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
        parsed = EcrHost.parse(host)
        assert parsed is not None
        client = make(parsed).client("ecr")

        assert (endpoint, parsed.region) == (client.meta.endpoint_url, client.meta.region_name)

    def test_a_given_one(self, make: Make, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """As botocore has it: a variable for each service."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:9")

        assert "http://127.0.0.1:9" == make().client("ecr").meta.endpoint_url

    def test_deadlines_and_retries(self, make: Make, keys: None) -> None:
        """Everything ends; botocore waits for what is too much by itself."""
        config = make().client("ecr").meta.config

        assert (5.0, 15.0) == (config.connect_timeout, config.read_timeout)
        assert {"mode": "adaptive", "total_max_attempts": 4} == config.retries


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("AccessDeniedException", AccessDenied),
            ("ExpiredTokenException", AccessDenied),
            ("InvalidSignatureException", AccessDenied),
            ("UnrecognizedClientException", AccessDenied),
            ("RepositoryNotFoundException", NotFound),
            ("InvalidParameterException", RegistryError),
            ("LimitExceededException", RegistryError),
            ("KmsException", RegistryError),
        ],
    )
    def test_what_aws_refuses(self, make: Make, keys: None, code: str, kind: type[RegistryError]) -> None:
        """By its code, with its words."""
        aws = make()
        with Stubber(aws.client("ecr")) as stubbed:
            stubbed.add_client_error("describe_repositories", code, "in AWS's words", http_status_code=400)
            error = raised(aws)

        assert kind is type(error)
        assert isinstance(error, RegistryError)
        assert ((code,), "in AWS's words", WHERE, "ecr:DescribeRepositories") == (
            error.codes, error.words, error.where, error.asked
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("exc", "kind", "told"),
        [
            (fault.NoCredentialsError(), NoCredential, r"no AWS credential was found: looked for in the environment"),
            (fault.TokenRetrievalError(provider="sso", error_msg="old"), AccessDenied, r"aws sso login"),
            (fault.UnauthorizedSSOTokenError(), AccessDenied, r"aws sso login"),
            (fault.SSOTokenLoadError(error_msg="none"), AccessDenied, r"aws sso login"),
            (fault.PartialCredentialsError(provider="env", cred_var="X"), AccessDenied, r"could not be had.*env"),
            (
                fault.CredentialRetrievalError(provider="p", error_msg="exit 1"),
                AccessDenied,
                r"could not be had.*exit 1",
            ),
            (fault.MetadataRetrievalError(error_msg="no answer"), AccessDenied, r"could not be had.*no answer"),
            (fault.ProfileNotFound(profile="x"), SettingsError, r"AWS configuration.*\(x\)"),
            (fault.ConfigParseError(path="/x", error="y"), SettingsError, r"AWS configuration.*/x"),
            (fault.UnknownRegionError(region_name="x", error_msg="y"), SettingsError, r"region is eu-west-1"),
            (fault.EndpointConnectionError(endpoint_url="https://x"), Unreachable, r"ecr\.api\).*region"),
            (fault.ConnectTimeoutError(endpoint_url="https://x"), Unreachable, r"ecr\.api\).*region"),
            (fault.ReadTimeoutError(endpoint_url="https://x"), Unreachable, r"did not answer ecr:DescribeRepositories"),
            (fault.ConnectionClosedError(endpoint_url="https://x"), Unreachable, r"did not answer"),
            (fault.HTTPClientError(error="x"), Unreachable, r"did not answer"),
            (fault.ProxyConnectionError(proxy_url="http://p"), Unreachable, r"through its proxy.*http://p"),
            (fault.SSLError(endpoint_url="https://x", error="self-signed"), Unreachable, r"not trusted.*ca_file"),
            (fault.ParamValidationError(report="x"), RegistryError, r"could not be asked of AWS.*x"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
    )
    def test_what_botocore_raises(
        self, make: Make, keys: None, exc: Exception, kind: type[MirrorError], told: str
    ) -> None:
        """One sentence of ours, with what to do."""

        def fail(**_: Any) -> None:
            raise exc

        aws = make()
        aws.client("ecr").meta.events.register("before-call.ecr", fail)
        error = raised(aws)

        assert kind is type(error)
        with pytest.raises(kind, match=told):
            raise error

    def test_a_certificate_is_not_tried_again(self, make: Make, keys: None) -> None:
        """Nothing changes by it."""

        def fail(**_: Any) -> None:
            raise fault.SSLError(endpoint_url="https://x", error="self-signed")

        aws = make()
        aws.client("ecr").meta.events.register("before-call.ecr", fail)
        error = raised(aws)

        assert isinstance(error, Unreachable)
        assert not error.is_temporary


class TestCredentials:
    def test_none(self, make: Make, ecr: Ecr, monkeypatch: pytest.MonkeyPatch) -> None:
        """Told without asking AWS; who asks again looks again."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
        aws = make()
        error = raised(aws)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-test")
        describe(aws)

        assert isinstance(error, NoCredential)
        assert ["DescribeRepositories"] == ecr.actions

    def test_a_profile_that_is_not_there(self, make: Make) -> None:
        """The operator's input is wrong."""
        error = raised(make(access=Access(profile="nobody")))

        assert isinstance(error, SettingsError)
        assert "(nobody)" in str(error)

    def test_a_profile(self, make: Make, no_aws: Path, ecr: Ecr) -> None:
        """Its keys, by its endpoint."""
        (no_aws / "config").write_text(
            "[profile me]\naws_access_key_id = AKIAOFPROFILE\naws_secret_access_key = x\n"
            f"endpoint_url = {ecr.url}\nregion = us-east-1\n"
        )
        aws = make(access=Access(profile="me"))
        describe(aws)

        assert ["DescribeRepositories"] == ecr.actions
        assert "us-east-1" == aws.configured_region

    def test_a_file_that_cannot_be_read(self, make: Make, no_aws: Path) -> None:
        """It is named."""
        (no_aws / "config").write_text("[profile")
        error = raised(make())

        assert isinstance(error, SettingsError)
        assert str(no_aws / "config") in str(error)

    def test_a_file_that_is_not_there(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """As where a service account's token was not mounted: it is named."""
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mirror")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/token")
        error = raised(make())

        assert isinstance(error, AccessDenied)
        assert "/no/such/token" in str(error)

    def test_an_endpoint_that_is_none(self, make: Make, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """The operator's input is wrong."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "nonsense")
        error = raised(make())

        assert isinstance(error, SettingsError)
        assert "AWS_ENDPOINT_URL" in str(error)
        assert "nonsense" in str(error)

    def test_a_session_that_has_expired(
        self, make: Make, keys: None, ecr: Ecr, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Over the wire."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
        ecr.refusals["*"] = EcrError("ExpiredTokenException", "The security token included in the request is expired")
        error = raised(make())

        assert isinstance(error, AccessDenied)
        assert "aws sso login" in str(error)


class TestRole:
    ROLE = "arn:aws:iam::123456789012:role/mirror"

    @pytest.fixture(autouse=True)
    def at_ecr(self, ecr: Ecr, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)

    def test_it_is_assumed_with_what_the_chain_gives(self, make: Make, ecr: Ecr) -> None:
        """Once, with the external id."""
        ecr.external_id = "x-1"
        aws = make(access=Access(role_arn=self.ROLE, external_id="x-1"))
        describe(aws)
        describe(aws)

        assert ["AssumeRole", "DescribeRepositories", "DescribeRepositories"] == ecr.actions
        assert (self.ROLE, "x-1") == (ecr.calls[0].asked["RoleArn"], ecr.calls[0].asked["ExternalId"])

    def test_it_may_not_be(self, make: Make, ecr: Ecr) -> None:
        """The error is about the role: action, trust policy, external id."""
        ecr.external_id = "x-1"
        error = raised(make(access=Access(role_arn=self.ROLE, external_id="x-2")))

        assert isinstance(error, AccessDenied)
        assert str(error).startswith(f"{self.ROLE}: AWS refused sts:AssumeRole")
        assert "trust policy" in str(error)
        assert "x-2" not in repr(Access(external_id="x-2"))

    def test_there_is_nothing_to_assume_it_with(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """Said as of any other credential."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")

        assert isinstance(raised(make(access=Access(role_arn=self.ROLE))), NoCredential | AccessDenied)


class TestConnections:
    def test_through_a_proxy(self, make: Make, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """As every other connection, with its credential; loopback is reached without."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://ecr.example.com")
        with http_proxy(username="me", password="p@ss") as proxy, fake_registry() as behind:
            proxy.routes["ecr.example.com:80"] = behind.host
            raised(make(http=f"http://me:p%40ss@{proxy.authority}"))
            asked = [seen.path for seen in proxy.requests]
            monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", behind.url)
            raised(make(http=f"http://me:p%40ss@{proxy.authority}"))

        assert {"http://ecr.example.com/"} == set(asked)
        assert len(asked) == len(proxy.requests)

    def test_the_environment_has_no_say_beside_ours(
        self, make: Make, keys: None, ecr: Ecr, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Which proxy is used is decided in one place, mirror.http.proxies."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

        assert [] == describe(make())["repositories"]

    def test_a_proxy_that_is_not_there(self, make: Make, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its password is told to nobody."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://ecr.example.com")
        error = raised(make(http="http://me:hunter2@127.0.0.1:9"))

        assert isinstance(error, Unreachable)
        assert "hunter2" not in str(error)

    def test_our_own_authority(
        self, make: Make, keys: None, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ca_file stands beside the usual authorities; without it the certificate is not trusted."""
        with fake_registry(certificates=certificates) as there:
            monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", there.url)
            without = raised(make())
            trusting = make(ca_file=str(certificates.authority))
            answered = raised(trusting)
        bundle = trusting.client("ecr")._endpoint.http_session._verify

        assert isinstance(without, Unreachable)
        assert "ca_file" in str(without)
        assert isinstance(answered, RegistryError)  # it is no ECR, but it was reached
        assert len(ssl.create_default_context(cafile=bundle).get_ca_certs()) > 50

    def test_our_own_authority_for_a_role(
        self, make: Make, keys: None, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It holds for STS, which is asked by another session, too."""
        role = Access(role_arn="arn:aws:iam::123456789012:role/mirror")
        with fake_registry(certificates=certificates) as there:
            monkeypatch.setenv("AWS_ENDPOINT_URL", there.url)
            error = raised(make(access=role, ca_file=str(certificates.authority)))

        assert isinstance(error, RegistryError)  # it is no STS, but it was reached
        assert "no answer of AWS's" in str(error)

    def test_the_authority_that_aws_is_told_of(
        self, make: Make, keys: None, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """AWS_CA_BUNDLE holds, as for every program that stands on botocore."""
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
        with fake_registry(certificates=certificates) as there:
            monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", there.url)

            assert isinstance(raised(make()), RegistryError)

    def test_the_authority_that_the_process_is_told_of(
        self, make: Make, keys: None, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SSL_CERT_FILE holds, as for every other connection of ours."""
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        with fake_registry(certificates=certificates) as there:
            monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", there.url)

            assert isinstance(raised(make()), RegistryError)

    def test_what_is_no_authority(self, make: Make, keys: None, tmp_path: Path) -> None:
        """The file is named."""
        (tmp_path / "ca.pem").write_text("nonsense")

        assert isinstance(raised(make(ca_file=str(tmp_path / "ca.pem"))), SettingsError)

    def test_nobody_listens(self, make: Make, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """The endpoint is named, and what a VPC would need."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:9")
        error = raised(make())

        assert isinstance(error, Unreachable)
        assert str(error).startswith("127.0.0.1:9 cannot be reached")
