#!/usr/bin/env python3
"""Writes tests/fixtures/text/turns.json: templates in the manner of some families, in words of our own, and the prompts
that transformers makes of conversations by them: answers that are continued, thoughts on and off, tools and calls.

    pip install -r tests/oracles/requirements.txt && python3 tests/oracles/turn_vectors.py

{"templates": {name: source}, "cases": [{"name", "template", "messages", "options", "text"}]}. The messages are those of
OpenAI's API, where the arguments of a call are a text; transformers gets them as the template wants them, which is a
dict except for the template "joins". The options are those of chat().
"""
import copy
import json
import pathlib

from transformers.utils import chat_template_utils as reference

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "text" / "turns.json"

TEMPLATES = {
    "plain": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
             "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    # thinks by itself, if enable_thinking is not false, as Qwen 3
    "thinks": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1].lstrip('\\n') }}"
              "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
              "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
              "{% endif %}",
    # opens the thought, whatever it is asked, as DeepSeek R1
    "opens": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n"
             "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    # tools, and calls whose arguments are written as JSON, as Qwen 2.5
    "calls": "{% if tools %}<|im_start|>system\nTools:{% for t in tools %}\n{{ t | tojson }}{% endfor %}<|im_end|>\n"
             "{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
             "{% for c in m.tool_calls or [] %}<tool_call>{\"name\": {{ c.function.name | tojson }}, \"arguments\": "
             "{{ c.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
             "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    # joins the arguments to other texts, as DeepSeek V3
    "joins": "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% endif %}"
             "{% for c in m.tool_calls or [] %}{{ c.function.name + '(' + c.function.arguments + ')' }}{% endfor %}"
             "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    # a variable of its own name, as SmolLM3
    "xml": "{% if xml_tools %}<|im_start|>system\n<tools>{% for t in xml_tools %}\n{{ t | tojson }}{% endfor %}\n"
           "</tools><|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
           "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "efforts": "{% for m in messages %}{{ m.content }}\n{% endfor %}Effort: {{ reasoning_effort | default('medium') }}\n",
}
USER = {"role": "user", "content": "What is 2 + 2? <|im_end|>"}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds \"numbers\".", "parameters": {
    "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}}]
CALLED = [USER, {"role": "assistant", "content": None, "tool_calls": [
    {"id": "abcdefghi", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 2, \"b\": [\"it's\", null]}"}},
    {"id": "jklmnopqr", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "abcdefghi", "name": "add", "content": "4"}]


def answer(text):
    return {"role": "assistant", "content": text}


CASES = [
    ("an answer is continued", "plain", [USER, answer("The answer is")], {}),
    ("an answer that ends with white space", "plain", [USER, answer("So:\n\n")], {}),
    ("an answer of an earlier turn is none to continue", "plain", [USER, answer("Four."), USER], {}),
    ("an answer is answered, if that is wanted", "plain", [USER, answer("Four.")], {"continueFinalMessage": False}),
    ("no generation prompt", "plain", [USER, answer("Four.")], {"addGenerationPrompt": False}),
    ("thoughts as the template has them", "thinks", [USER], {}),
    ("thoughts off", "thinks", [USER], {"thinking": False}),
    ("thoughts on", "thinks", [USER], {"thinking": True}),
    ("thoughts up to a number", "thinks", [USER], {"thinking": {"maxTokens": 9}}),
    ("the caller's own variable", "thinks", [USER], {"thinking": True, "templateVariables": {"enable_thinking": False}}),
    ("the template opens the thought", "opens", [USER], {}),
    ("tools", "calls", [USER], {"tools": TOOLS}),
    ("no tools to choose", "calls", [USER], {"tools": TOOLS, "toolChoice": "none"}),
    ("calls and a result", "calls", CALLED, {"tools": TOOLS}),
    ("calls whose arguments are joined", "joins", CALLED, {}),
    ("tools as xml_tools", "xml", [USER], {"tools": TOOLS}),
    ("reasoning_effort", "efforts", [USER], {"templateVariables": {"reasoning_effort": "low"}}),
]


def expected(template, messages, options):
    messages, thinking = copy.deepcopy(messages), options.get("thinking")
    for message in messages:
        for call in message.get("tool_calls", []):
            if template != "joins":
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    messages = [{key: value for key, value in message.items() if value is not None} for message in messages]
    tools = None if options.get("toolChoice") == "none" else options.get("tools")
    variables = {} if thinking is None else {"enable_thinking": thinking is not False}
    variables.update(options.get("templateVariables", {}))
    if template == "xml":
        tools, variables["xml_tools"] = None, tools
    prompt = options.get("addGenerationPrompt", True)
    goes_on = messages[-1]["role"] == "assistant" and prompt and options.get("continueFinalMessage", True)
    return reference.render_jinja_template([messages], tools=tools, chat_template=TEMPLATES[template],
                                           add_generation_prompt=prompt and not goes_on,
                                           continue_final_message=goes_on, **variables)[0][0]


def main():
    cases = [{"name": name, "template": template, "messages": messages, "options": options,
              "text": expected(template, messages, options)} for name, template, messages, options in CASES]
    OUT.write_text(json.dumps({"templates": TEMPLATES, "cases": cases}, ensure_ascii=False, indent=1) + "\n")
    print(f"{OUT.name}: {len(cases)} cases, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
