"""Verify FLORA's webhooks, receive each event once, and end waits with them.

Example:
    >>> from flora_async.webhooks import sign, unwrap
    >>> body = b'{"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}}'
    >>> headers = {"Flora-Signature": sign(body, "whsec_test")}
    >>> unwrap(body, headers, "whsec_test").data.run_id
    'run_1'
"""

from flora_async.errors import WebhookVerificationError
from flora_async.models import WebhookEvent, WebhookRun
from flora_async.webhooks._receiver import WebhookReceiver
from flora_async.webhooks._signature import sign, unwrap, verify

__all__ = [
    "WebhookEvent",
    "WebhookReceiver",
    "WebhookRun",
    "WebhookVerificationError",
    "sign",
    "unwrap",
    "verify",
]
