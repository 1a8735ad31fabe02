"""Uses every feature of the official Python client against the host in COFFERDAM_HOST, and prints the
errors that the client raised. What arrived is checked by the test that runs this.
"""

import datetime
import json
import os
import time

from mixpanel import BufferedConsumer, Consumer, Mixpanel, MixpanelException

BASE = f"http://{os.environ['COFFERDAM_HOST']}"
# The client always speaks HTTPS to `api_host`; its own way to another scheme is to give the addresses.
ADDRESSES = {
    "events_url": f"{BASE}/track",
    "people_url": f"{BASE}/engage",
    "groups_url": f"{BASE}/groups",
    "import_url": f"{BASE}/import",
}
TOKEN = os.environ["COFFERDAM_TOKEN"]
WHO = "python-user"
COMPANY = ("company", "Python Works")
OLD = int(time.time()) - 40 * 86_400

errors = []


def attempt(name, call, *arguments, **named):
    """Makes one call and keeps what it complained about."""
    try:
        call(*arguments, **named)
    except MixpanelException as error:
        errors.append(f"{name}: {error}")


client = Mixpanel(TOKEN, consumer=Consumer(**ADDRESSES))
buffered = BufferedConsumer(max_size=50, **ADDRESSES)
batching = Mixpanel(TOKEN, consumer=buffered)

attempt("track", client.track, WHO, "Python tracked", {"plan": "pro", "at": datetime.datetime(2026, 9, 1)})
for n in range(120):
    attempt("track, buffered", batching.track, f"python-{n % 10}", "Python buffered", {"n": n})
# History needs credentials: the project's token stands where the old API secret stood.
SECRET = {"api_secret": TOKEN}
attempt("import", client.import_data, None, WHO, "Python imported", OLD, {"plan": "pro"}, **SECRET)
for n in range(60):
    who, properties = f"python-{n % 6}", {"n": n}
    attempt("import, buffered", batching.import_data, None, who, "Python history", OLD + n, properties, **SECRET)
attempt("flush", buffered.flush)

attempt("people_set", client.people_set, WHO, {"plan": "free", "gone": 1, "$email": "python@coffer.example"})
attempt("people_set again", client.people_set, WHO, {"plan": "team"})
attempt("people_set with meta", client.people_set, WHO, {"$first_name": "Petra"}, meta={"$ignore_time": True, "$ip": 0})
attempt("people_set_once", client.people_set_once, WHO, {"first": "kept"})
attempt("people_set_once again", client.people_set_once, WHO, {"first": "lost"})
attempt("people_increment", client.people_increment, WHO, {"visits": 1})
attempt("people_increment again", client.people_increment, WHO, {"visits": 2, "credit": -2})
for page in ("home", "prices", "home"):
    attempt("people_append", client.people_append, WHO, {"pages": page})
attempt("people_union", client.people_union, WHO, {"tags": ["a", "b"], "colours": ["red", "blue"]})
attempt("people_union again", client.people_union, WHO, {"tags": ["b", "c"]})
attempt("people_remove", client.people_remove, WHO, {"colours": "blue"})
attempt("people_unset", client.people_unset, WHO, ["gone"])
attempt("people_track_charge", client.people_track_charge, WHO, 5)
attempt("people_clear_charges", client.people_clear_charges, WHO)
attempt("people_track_charge again", client.people_track_charge, WHO, 29.99, {"$time": "2026-09-01T10:00:00"})
attempt("track for delete", client.track, "python-gone", "Python deleted")
attempt("people_set for delete", client.people_set, "python-gone", {"plan": "pro"})
attempt("people_delete", client.people_delete, "python-gone")
for n in range(60):
    attempt("people_set, buffered", batching.people_set, f"python-{n % 10}", {"n": n})
attempt("flush of people", buffered.flush)

attempt("group_set", client.group_set, *COMPANY, {"$name": "Python Works", "industry": "widgets"})
attempt("group_set_once", client.group_set_once, *COMPANY, {"founded": 1999})
attempt("group_union", client.group_union, *COMPANY, {"products": ["anvil", "rocket"]})
attempt("group_remove", client.group_remove, *COMPANY, {"products": "anvil"})
attempt("group_unset", client.group_unset, *COMPANY, ["founded"])
attempt("group_delete", client.group_delete, *COMPANY)

ORIGINAL_TOKEN = os.environ["COFFERDAM_ORIGINAL_TOKEN"]
original = Mixpanel(ORIGINAL_TOKEN, consumer=Consumer(**ADDRESSES))
attempt("before alias", original.track, "python-lead", "Python aliased", {"side": "lead"})
attempt("after alias", original.track, "python-customer", "Python aliased", {"side": "customer"})
# `alias()` has its host fixed inside the client, whatever the consumer: this is the record that it sends.
attempt("alias", original.track, "python-lead", "$create_alias", {"alias": "python-customer"})
attempt("merged 1", original.track, "python-m1", "Python merged")
attempt("merged 2", original.track, "python-m2", "Python merged")
attempt("merge", original.merge, None, "python-m1", "python-m2", api_secret=ORIGINAL_TOKEN)

print(json.dumps({"errors": errors}))
