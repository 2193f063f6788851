"""Rules of our own from another file."""

from steering.imports.imported import Collected, Imported, Known
from steering.policy.document import read_document


def read_own(text: str, known: Known) -> Imported:
    into = Collected(known)
    reading = read_document(text, known.categories)
    if reading.rule_set is None:
        for finding in reading.findings:
            into.problem(finding.line or 1, finding.json_pointer, f"{finding.message}; nothing of the file was taken")
        return into.done()
    for index, rule in enumerate(reading.rule_set.model.rules):
        line, _ = reading.text.line_column(reading.text.offset(("rules", index)))
        if rule.preconfigured:
            into.problem(line, rule.name, "shipped with the product: enable or disable the one that is there")
        else:
            into.add(line, rule.name, rule.model_dump(mode="json", exclude_defaults=True))
    return into.done()
