from gateway.auth.anonymous import Anonymous
from gateway.core.call import ANONYMOUS


def test_everybody_is_the_anonymous_caller():
    assert Anonymous().authenticate(None) is ANONYMOUS
    assert Anonymous().authenticate(b"anything") is ANONYMOUS
