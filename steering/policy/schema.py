"""The JSON Schema of ``rules.json``, as the shipped file ``rules.schema.json`` holds it.

    python -m steering.policy.schema > steering/policy/rules.schema.json

writes it anew after a change of the model; a test holds the two equal.
"""

import json
import sys

from steering.policy.model import json_schema


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
