"""What the linter takes for a secret where no type says so; and the ordinary words that it must leave alone."""

import pytest

from blueprints.likely import GAP, found_in, found_under, is_secret_name

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("http://user:hunter2@models:8000", "hunter2"),
        ("postgres://:hunter2@db/x", "hunter2"),
        ("https://a1b2c3d4e5f6a7b8c9d0@git.example.org/x", "a1b2c3d4e5f6a7b8c9d0"),
        ("https://x.org/?token=abcd1234&y=1", "abcd1234"),
        ("https://x.org/a?y=1&api_key=abcd1234#z", "abcd1234"),
        ("https://blob/x?sv=2020&sig=Zm9v%2Bbar%3D", "Zm9v%2Bbar%3D"),
        ("host=db user=me password=hunter2 port=1", "hunter2"),
        ('required username="me" password="hunter 2";', "hunter 2"),
        ("Bearer abc123def456", "abc123def456"),
        ("Basic bWU6cGFzc3dvcmQ=", "bWU6cGFzc3dvcmQ="),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_" + "a1B2c3D4e5" * 4, "ghp_" + "a1B2c3D4e5" * 4),
        (JWT, JWT),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"),
    ],
)
def test_a_secret_is_found_by_its_shape(text, secret):
    assert found_in(text) == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "http://models:8000/v2",
        "http://127.0.0.1:9101",
        f"http://user:{GAP}@models",
        f"http://{GAP}@models",
        f"https://x.org/?token={GAP}",
        f"password={GAP} user=me",
        f"Bearer {GAP}",
        "ssh://git@example.org/x",
        "amqp://service-account-user@broker",
        "https://x.org/?key=carrier&sort=asc",
        "https://x.org/?page_token=",
        "Basic information about flights",
        "basic understanding",
        "Bearer of bad news",
        "token == 'abc' && password == \"x\"",
        "has(user.password) ? 1 : 0",
        "password_length > 8",
        "the user's password, hashed: sha256",
        "blueprints.examples.flight_delays.features:features",
        "streamlets/model-server:1.2.3",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "skip-the-first-hundred-rows",
        "2026-11-22T21:18:15Z",
        "*.models.example.org",
        "user:password",
    ],
)
def test_ordinary_text_is_no_secret(text):
    assert found_in(text) == []


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "dbPassword", "API-KEY", "apiKey", "x-api-key", "sasl.password", "access_token",
     "AuthToken", "client_secret", "Authorization", "Proxy-Authorization", "AWS_SECRET_ACCESS_KEY", "private-key",
     "sasl.jaas.config", "SLACK_TOKEN"],
)  # fmt: skip
def test_a_name_says_that_it_holds_a_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["tokens", "max_tokens", "tokenizer", "token_url", "secret_name", "password_file", "key", "partition_key",
     "keyboard", "monkey", "public_key", "author", "authority", "secretary", "passwordless", "credential-id",
     "imagePullSecrets", "serviceAccountName", "sort_key", "primary_key"],
)  # fmt: skip
def test_a_name_of_something_else_says_nothing(name):
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text", ["hunter2!", "abc123def456", "S3cr3t-Value", "a8f5f167f44f4964e6c998dee827110c"]
)
def test_a_value_that_looks_like_one_under_such_a_name_is_a_secret(text):
    assert found_under("password", text) == [text]
    assert found_under("Authorization", f"Bearer {text}") == [text]
    assert found_under("threshold", text) == []


@pytest.mark.parametrize(
    "text",
    ["user_token", "token", "hashed_password", "features.token_2", "t5_embedding", "true", "", GAP, f"Bearer {GAP}",
     "/run/secrets/token", "./token.txt", "https://login.example.org/token", "size(token) > 3", "event.token == 'x'",
     "secret/data/app", "correct horse"],
)  # fmt: skip
def test_a_field_a_place_or_an_expression_under_such_a_name_is_none(text):
    assert found_under("token", text) == []


def test_in_other_peoples_settings_any_text_under_such_a_name_is_a_secret():
    assert found_under("sasl.password", "letmein", is_setting=True) == ["letmein"]
    assert found_under("API_TOKEN", "/run/secrets/token", is_setting=True) == []
    assert found_under("LOG_LEVEL", "debug", is_setting=True) == []
