"""CloudEvents through the real library, in both modes, against `bookloop serve`.

Argument: host and port. The server keeps the attributes of events (BOOKLOOP_CE_MERGE). Prints one line a check; any failure
ends the run.
"""

import sys
import urllib.request

from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

url = f"http://{sys.argv[1]}/v1/models/recommender:predict"
asked = CloudEvent(
    attributes={"type": "shop.page", "source": "/shop", "id": "e-1", "page": "home", "datacontenttype": "application/json"},
    data={"instances": [{"user_id": "r1", "k": 2}]},
)
answers = []
for mode, convert in (("binary", to_binary_event), ("structured", to_structured_event)):
    message = convert(asked)
    request = urllib.request.Request(url, data=message.body, headers=message.headers)
    with urllib.request.urlopen(request) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        told = from_http_event(HTTPMessage(headers=headers, body=response.read()))
    assert told.get_type() == "io.kserve.inference.response", told.get_type()
    assert told.get_source() == "io.kserve.inference.recommender", told.get_source()
    assert told.get_id() != "e-1" and told.get_extension("page") == "home"
    assert told.get_time() is not None
    print(f"ok {mode}")
    answers.append(told.get_data())
assert answers[0] == answers[1] and len(answers[0]["predictions"][0]["recommendations"]) == 2, answers
print("ok same answers")
print("all checks passed")
