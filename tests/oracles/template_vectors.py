#!/usr/bin/env python3
"""Writes tests/fixtures/text/templates.json: what jinja2 makes of llama.cpp's 70 chat templates.

    pip install -r tests/oracles/requirements.txt && make vocabularies && python3 tests/oracles/template_vectors.py

The environment is that of transformers' apply_chat_template (utils/chat_template_utils.py): a sandbox, trim_blocks,
lstrip_blocks, loop controls, raise_exception, strftime_now, a tojson that escapes nothing, generation blocks; what it
passes: messages, tools and documents = None, add_generation_prompt, the special tokens. The time stands still.

{"time": ms, "conversations": [...], "templates": {name: [for each conversation SHA-256 of the text (its first 16 digits),
or null where the template raises an error]}}
"""
import datetime
import hashlib
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox
from jinja2 import nodes

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEMPLATES = ROOT / "build" / "vocabularies" / "templates"
OUT = ROOT / "tests" / "fixtures" / "text" / "templates.json"
NOW = datetime.datetime(2026, 3, 5, 12, 0, 0, tzinfo=datetime.timezone.utc)

USER, ANSWER, AGAIN = ({"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "  It's \"4\".\n"},
                       {"role": "user", "content": "Why?\n\nüñ 你好"})
CONVERSATIONS = [[USER], [USER, ANSWER, AGAIN], [{"role": "system", "content": "Be brief. "}, USER, ANSWER, AGAIN]]


class Generation(jinja2.ext.Extension):
    """{% generation %} marks what a model has written: here it is only its body."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(["name:endgeneration"], drop_needle=True)).set_lineno(line)


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                        extensions=[Generation, jinja2.ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


def render(template, messages):
    try:
        text = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=True,
                               bos_token="<s>", eos_token="</s>")
        return hashlib.sha256(text.encode()).hexdigest()[:16]
    except (jinja2.exceptions.TemplateError, TypeError, KeyError):
        return None


def main():
    made, out = environment(), {}
    for path in sorted(TEMPLATES.glob("*.jinja")):
        try:
            template = made.from_string(path.read_text())
            out[path.stem] = [render(template, messages) for messages in CONVERSATIONS]
        except jinja2.exceptions.TemplateSyntaxError as error:
            print(f"{path.stem}: not a template to jinja2: {error}")
            out[path.stem] = None
    head = json.dumps({"time": int(NOW.timestamp() * 1000), "conversations": CONVERSATIONS}, ensure_ascii=False)
    rows = [f"{json.dumps(name)}: {json.dumps(digests)}" for name, digests in out.items()]
    OUT.write_text(head[:-1] + ', "templates": {\n' + ",\n".join(rows) + "\n}}\n")
    refused = sum(digest is None for digests in out.values() for digest in digests or [None])
    print(f"{OUT.name}: {len(out)} templates, {refused} conversations that they refuse, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
