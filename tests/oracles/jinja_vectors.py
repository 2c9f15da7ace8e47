#!/usr/bin/env python3
"""Writes tests/fixtures/text/jinja.json: small templates, rendered by jinja2 in transformers' environment.

    pip install -r tests/oracles/requirements.txt && python3 tests/oracles/jinja_vectors.py

{"context": {...}, "cases": [[template, text, or null where it raises an error]]}
"""
import json
import pathlib

import jinja2
from transformers.utils import chat_template_utils as reference

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "tests" / "fixtures" / "text" / "jinja.json"

CONTEXT = {
    "text": "Hello, World", "spaced": " \t\n a b  c \u3000\ufeff\x1c", "emoji": "a👩‍👩‍👧b🇫🇷é", "empty": "", "none": None,
    "yes": True, "no": False, "n": 7, "f": 2.5, "big": 12345678901234567890,
    "list": [3, 1, 2], "words": ["b", "A", "c", "a"], "mixed": [1, "1", 1.5, True, None, [2], {"k": "v"}],
    "dict": {"b": 1, "A": 2, "items": "mine", "c": {"d": [1, 2]}},
    "people": [{"name": "Zoe", "age": 3}, {"name": "adam", "age": 1}, {"name": "Bo"}],
    "lines": "one\ntwo\r\nthree\n\nfour", "quotes": "it's \"q\" \\ \x00\x1f\x7f\u2028é\U0001F600",
    "html": "<a href='x'>&\"</a>", "messages": [{"role": "user", "content": "Hi"},
                                                {"role": "assistant", "content": "Yo"},
                                                {"role": "user", "content": "Bye"}],
    "cased": "ǆ ß ΑΣ ΣΑΣ İ ﬁ", "number": " 42 ", "code": "1_000", "tabs": "a\tbc\td",
    "thought": "<think>\nhm\n</think>\n\nSo.",
}

EXPRESSIONS = r"""
text|upper;text|lower;text|title;text|capitalize;text.swapcase();"they're bill's-friend (ok)"|title
"they're bill's"|title;"they're x".title();cased|upper;cased|lower;cased|title;cased|capitalize;cased.casefold()
cased.swapcase()
spaced|trim;spaced.strip();spaced.lstrip();spaced.rstrip();spaced.split();spaced|length;"xxaxx".strip("x")
"xyaxy".lstrip("xy");"ab\n\n".rstrip("\n");"\n\n  a".lstrip("\n");text|trim("Hd");"\ufeffa\ufeff"|trim|length
"\x85a\x1f"|trim|length
emoji|length;emoji[1];emoji[-1];emoji[1:4];emoji[::-1];emoji|reverse;emoji|list|length;emoji.find("b");emoji.index("é")
emoji.count("👩");emoji[99];text[1:];text[:-1];text[::2];text[-3:];text[5:2];text[99:];text[::-2];text[0]
text.split(",");text.split(", ");text.split("l",1);text.rsplit("l",1);text.split("zz");"".split(",");"".split()
" a  b ".split(" ");"a b c".split(none,1);"a b c".rsplit(none,1);text.partition(",");text.rpartition("o")
text.partition("z");text.split("");"a,b,,c".split(",",-1)
thought.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n");thought.split("</think>")[-1].lstrip("\n")
text.startswith("He");text.endswith(("x","d"));text.startswith("W",7);text.find("o");text.find("o",5);text.rfind("o")
text.find("zz");text.index("zz");text.count("l");text.count("");text.replace("l","L");text.replace("l","L",1)
text.replace("","-");text|replace("l","L");text|replace("l","L",2);text.removeprefix("Hel");text.removesuffix("ld")
text.center(20,"*");text.ljust(15)+"|";text.rjust(15);"7".zfill(3);"-7".zfill(4);"a".join(["x","y"]);"".join([])
tabs.expandtabs(4);lines.splitlines();lines.splitlines(true)
"abc".isalpha();"a1".isalnum();"12".isdigit();"½".isnumeric();" ".isspace();"".isspace();"Ab".isupper();"AB".isupper()
"ab1".islower();"Ab Cd".istitle();"a_1".isidentifier();"é".isascii();"12".isdecimal();"²".isdigit();"\n".isprintable()
1+2;7/2;7//2;-7//2;7%3;-7%3;7%-3;2**10;2**-1;2**0.5;1/3;10**20;big+1;big*big;0.1+0.2;1e16;1e15;123456789.0;1e-5;0.0001
1.0;-0.0;5//2.0;5%2.5;-5%3.5;1/0;1//0;1.5e300*1e10;true+true;-n;+f;-"a";n*"ab";"ab"*0;[1,2]*2;[1]+[2];(1,)+(2,);[1]+(2,)
"a"+1;1+"a";"a"~1~none~true~2.0;none+1
1==1.0;1==true;"1"==1;none==none;[1,2]==[1,2];[1]==(1,);{"a":1}=={"a":1.0};missing==missing;missing==none;"a"<"b";"a"<1
[1,2]<[1,3];1<2<3;1<3<2;"Z"<"a";"é">"z";(1,2)<(1,2,3);none<1;text!=text;not 1;not "";1 and 2;0 or "x";1 if no
1 if yes else 2;(1 if no) is defined
1 in list;9 not in list;"ell" in text;"" in text;1 in text;"b" in dict;"zz" in dict;none in mixed;missing in list
missing in text;1 in missing;"x" in none;"1" in mixed
none;yes;no;f;list;mixed;dict;(1,);(1,2);();[];{};quotes;[quotes];[html];["it's"];["é\u2028\x85\U0001F600\ue000"]
[1.0,1e100,none,true];missing;[missing];{"a":missing}
mixed|tojson;dict|tojson;quotes|tojson;html|tojson;dict|tojson(indent=2);dict|tojson(indent=0);[]|tojson(indent=2)
dict|tojson(sort_keys=true);quotes|tojson(ensure_ascii=true);list|tojson(separators=(",",":"))
{"a":1}|tojson(separators=(",",":"));{1:2,none:3,true:4,2.5:5}|tojson;missing|tojson;f|tojson;1e16|tojson;(1,2)|tojson
{"a":[{}]}|tojson(indent=1);[1,[2]]|tojson(indent="\t");emoji|tojson(true)
list|sort;list|sort(reverse=true);words|sort;words|sort(case_sensitive=true)
people|sort(attribute="name")|map(attribute="name")|list;people|map(attribute="age")|list
people|map(attribute="age",default=0)|list;people|map(attribute="age",default=0)|sum
people|selectattr("age")|map(attribute="name")|list;people|selectattr("age","defined")|list|length
people|selectattr("age","gt",1)|list;people|rejectattr("age","defined")|list
people|selectattr("name","equalto","Bo")|list;people|groupby("name")|length
list|select("odd")|list;list|reject("odd")|list;list|select|list;words|map("upper")|join;words|map("upper")|join(", ")
words|join("-");people|join(",",attribute="name");list|join;list|sum;range(1)|string;range(0)|string;dict([[1,2],(3,4)])
dict([1]);[["a",1]]|urlencode;[1]|urlencode;"{a}".format_map(5);words|sum(start="");[[1],[2]]|sum(start=[])
"{:,}".format(1234567);"{:,.2f}".format(1234567.5);"{:_x}".format(1193046);"a b  cc d\ne"|wordwrap(3);list|min;list|max
words|min;words|max;list|first;list|last;[]|first;[]|last;list|reverse|list;list|length;dict|length;missing|length
none|length;5|length;list|select("odd");list|map("upper");list|unique|list;words|unique|list;["a","A"]|unique|list
list|batch(2)|list;list|batch(2,"x")|list;[1,2,3,4,5]|slice(2)|list;[1,2,3,4,5]|slice(3,"x")|list;dict|dictsort
{"b":2,"a":1}|dictsort(reverse=true);{"b":1,"a":2}|dictsort(by="value");dict|items|list;dict|list;text|list;none|list
5|list;missing|list
missing|default("d");empty|default("d");empty|default("d",true);none|default("d");missing|d;missing.x;missing["x"]
none.x;text.x;text.x.y;dict.zz;dict["zz"];dict.zz|default("q");dict.items;dict.c.d[1];dict["items"];dict.items()
dict.keys();dict.values()|list;dict.get("b");dict.get("q");dict.get("q",5);dict.c["d"][-1];dict.c.d.0;list.0;list[5]
list["a"];people[0].name;dict[1]
"42"|int;"4.7"|int;"x"|int;"x"|int(5);"0x1f"|int(0,16);"ff"|int(base=16);number|int;code|int;none|int;f|int;missing|int
true|int;"1e3"|float;"x"|float;"inf"|float;f|round;2.345|round(2);2.5|round;3.5|round;-2.5|round;1234|round(-2)
2.1|round(0,"ceil");2.9|round(method="floor");7|round;n|abs;-3.5|abs;"a"|abs
html|e;html|escape;html|forceescape;html|safe;html|safe~html;html|safe+html;html+html|safe;(html|e)|e;html|striptags
"a b&c/d"|urlencode;{"a":"b c"}|urlencode;"a b c"|wordcount;"hello big world"|truncate(9)
"hello big world"|truncate(9,true);"hello"|truncate(9);"hello big world"|truncate(9,false,"!",0);"a b c d"|wordwrap(3)
1000|filesizeformat;1|filesizeformat;1500000|filesizeformat;2048|filesizeformat(true)
lines|indent;lines|indent(2,true);lines|indent("> ",blank=true);lines|indent(width=1,first=true,blank=true);""|indent
text|center(30);text|center
"%s and %d"|format("x",3);"%s"|format
"%5.2f|%-5s|%05d|%+d|%x|%o|%e|%g|%%"|format(2.345,"ab",42,7,255,8,12345.678,0.00001);"%(a)s"|format(a=1);"%r"%"it's"
"%s"%list;"%s %s"%(1,2);"%s"%(1,2);"%d"%"x";"%c"%65;"%5s|%-5s|"%("a","b");"%.2s"%"abcd";"%s" % dict;"%(b)s"%dict;"100%"
"%i"%3.9;"%X"%255;"%#x"%255;"% d"%5;"%g"%1e20;"%g"%123456;"%g"%1234567
"{} {}".format(1,2);"{1} {0}".format(1,2);"{a}".format(a=5);"{:>5}|{:<5}|{:^5}|".format("a","b","c");"{:05d}".format(42)
"{:.2f}".format(3.14159);"{:,}".format(1234567);"{:x}".format(255);"{!r}".format("a");"{{}}".format()
"{0[b]}".format(dict);"{0.name}".format(people[0]);"{:%}".format(0.25);"{:e}".format(1234.5);"{:+d}".format(3)
"{:*^9}".format("mid");"{}".format();"{:10}|".format(5);"{:10}|".format("x");"{:{w}}|".format("x",w=4);"{:b}".format(5)
"{:_}".format(1234567);"{:.3}".format(3.14159);"{:g}".format(1e10)
range(3);range(3)|list;range(1,4)|list;range(5,0,-2)|list;range(0);range(3)|length;range(3)[1];range(3)|first
range(10)[2:5]|list;range(100001);range(2)|join(",");dict(a=1);dict(a=1,b=2)|length;dict({"x":1},y=2);dict([("a",1)])
namespace(a=1).a;namespace().a
1 is odd;2 is even;big is even;(big+1) is odd;big is divisibleby 10;-3 is odd;2.5 is even;true is odd;"a" is odd
6 is divisibleby 3;6 is divisibleby(4);6 is divisibleby 0;6 is divisibleby 1.5;6 is divisibleby "2";missing is defined
missing is undefined;none is none
"a" is string;1 is number;1.5 is float;1 is integer;true is integer;true is number;true is boolean;list is sequence
text is sequence;dict is sequence;5 is sequence;dict is mapping;list is iterable;5 is iterable;missing is iterable
none is iterable;"A" is upper;"a" is lower;1 is eq 1;1 is equalto(2);3 is gt 2;3 is in [1,3];"a" is in "abc"
1 is sameas true;none is sameas none;text is callable;range is callable;not 1 is odd;1 is not odd;1 is odd and 2 is even
"upper" is filter;"nope" is filter;"odd" is test;1 is nope;1|nope;"a" is escaped;1 is true;true is true;false is false
1 is ne 2;2 is le 2
[1,2,3][1:];(1,2,3)[::-1];list[::-1];list[-2:];list.index(1);list.index(9);list.count(3);list.append(4);list.pop()
dict.update({});dict.pop("b");text.nope();list.sort();text.join(words);list.copy();dict.copy();"".join(words|sort)
words.__class__;text.__class__
"a" "b";"\x41\u00e9\U0001F600\101\n\t\\\'\q";'\é';1_000;0x1F;0b11;0o17;1.5e3;1e3;.5;"line\
joined";[1,2,];(1,);{"a":1,};{"a":1}.a;{1:2}[1];[[1,2],[3]][0][1];"abc"[1]|upper;-1|abs;(-1)|abs;2**3**2;-2**2;1-1-1
2*3%4;1~2+3;"a"~"b" "c";1 + 2 ~ 3;not true and false;yes or missing.x;no and missing.x;1 < 2 == true
1 if true else 2 if true else 3;(1,2) in [(1,2)];1,2
text|upper|lower|title;text|replace("o","0")|length;text.upper().lower();"a-b".split("-")|join("+")
words|map("replace","a","x")|list;[[1,2],[3]]|map("join")|list;words|map("length")|sum
people|map(attribute="name")|map("lower")|sort|join(" ");[3,1]|sort|first|string|length;text|string is string;5|string
none|string;list|string;true|string
loop;loop is defined;varargs;caller;cycler("a","b").next();joiner(",")();joiner is defined;strftime_now is defined
raise_exception("no");raise_exception is defined;range is defined;undefined_function();text();none();dict.b()
"""

TEMPLATES = [
    "{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}"
        "{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in list %}{% continue %}{% else %}none{% endfor %}",
    "{% for x in list %}{% break %}{% else %}none{% endfor %}",
    "{% for x in list if x > 1 %}{{ loop.index }}:{{ x }} {{ loop.length }}{% else %}none{% endfor %}",
    "{% for x in list if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for k, v in dict.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in dict %}{{ k }}{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}x{% endfor %}",
    "{% for c in emoji %}[{{ c }}]{% endfor %}", "{% for x in missing %}a{% else %}e{% endfor %}",
    "{% for x in none %}a{% endfor %}", "{% for x in 5 %}a{% endfor %}",
    "{% for x in list %}{% for y in words %}{{ loop.index }}{% if y == 'A' %}{% break %}{% endif %}{% endfor %}|"
        "{{ loop.index }}{% endfor %}",
    "{% for x in list %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}"
        "{% endfor %}",
    "{% for x in list recursive %}{{ x }}{% if x == 3 %}({{ loop([1, 2]) }}){% endif %}{{ loop.depth }}{% endfor %}",
    "{% for x in list %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}",
    "{% set x = 1 %}{% for y in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}",
    "{% if yes %}{% set x = 5 %}{% endif %}{{ x }}", "{% set x = 1 %}{% if no %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set ns = namespace(x=1, l=[]) %}{% for y in list %}{% set ns.x = ns.x + y %}{% set ns.l = ns.l + [y] %}"
        "{% endfor %}{{ ns.x }}{{ ns.l }}", "{% set d = {} %}{% set d.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set ns = namespace(a=none) %}{{ ns.a is none }}{{ ns.b is defined }}{{ ns }}"[:-8],
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1] %}",
    "{% set x %}a{{ n }}b{% endset %}{{ x }}{{ x|length }}",
    "{% set x | upper | replace('A', 'z') %}ab{% endset %}{{ x }}",
    "{% set x = x|default(1) %}{{ x }}",
    "{% for i in range(3) %}{% set t = t|default('') ~ i %}{{ t }},{% endfor %}{{ t is defined }}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(b=5, a=4) }}|"
        "{{ m() }}|", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{{ n }}{% endcall %}",
    "{% macro m(x) %}{{ caller(x, 2) }}{% endmacro %}{% call(a, b=5) m('q') %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}{{ text }}{% set text = 'inner' %}{{ text }}{% endmacro %}{{ m() }}{{ text }}",
    "{% set v = 1 %}{% macro m() %}{{ v }}{% endmacro %}{% set v = 2 %}{{ m() }}",
    "{% macro m() %}{{ w }}{% endmacro %}{% set w = 3 %}{{ m() }}",
    "{% for v in [1, 2] %}{% macro m() %}{{ v }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% macro m() %}  x  {% endmacro %}{{ m()|trim }}|{{ m() ~ m() }}|{{ m()|length }}",
    "{% filter upper %}ab{{ text }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aXa{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}",
    "{% generation %}{{ text }}{% set g = 1 %}{% endgeneration %}{{ g }}",
    "{% block x %}{{ text }}{% endblock %}", "{% block x %}a{% endblock x %}", "{% print 1, 2 %}",
    "{% raw %}{{ x }}{% y %}{# z #}{% endraw %}", "{%- raw -%}  a  {%- endraw -%}  b", "a{# comment #}b",
    "a {#- comment -#} b", "{# {{ x }} #}", "{# a # } #}z",
    "  {% if yes %}\n  a\n  {% endif %}\nb", "  {%+ if yes %}\n  a\n  {%+ endif %}\nb", "{% if yes +%}\na{% endif %}",
    "{% if yes -%}\n  a\n{%- endif %}\n", "a\n  {{ n }}\n  b\n", "a\n\n", "a\n", "\n", "{{ n }}\n\n",
    "a\r\nb\rc\n{{ 'x\r\ny' }}", "{% if yes %}\r\n a\r\n{% endif %}\r\nb\r\n", "  {# c #}\n  b", "x  {# c #}\n  b",
    "  {{- n -}}  ", "\ufeff{{- n -}}\ufeff", "\x1c{{- n -}}\x85", "a  {%- set x = 1 -%}  b",
    "\n\n{% set x = 1 %}\n\nb", "{{ '{{' }}{{ '}}' }}{{ '%}' }}", "{{ {'a': {'b': 1}}.a.b }}", "{{ {'a': 1}}}",
    "}} %} #}", "{ { % {", "{{ \"a\\\"b\" }}{{ 'a\\'b' }}",
    "{% if 1 %}{% elif missing.x.y %}{% endif %}ok", "{% if no %}a{% elif yes %}b{% else %}c{% endif %}",
    "{% if [] %}a{% else %}b{% endif %}{% if '' %}a{% else %}b{% endif %}{% if 0.0 %}a{% else %}b{% endif %}"
        "{% if {} %}a{% else %}b{% endif %}{% if none %}a{% else %}b{% endif %}{% if missing %}a{% else %}b"
        "{% endif %}{% if ' ' %}a{% endif %}",
    "{% if list|select('odd') %}a{% endif %}", "{% set g = list|select('odd') %}{{ g|list }}{{ g|list }}",
    "{{ list|select('odd')|length }}", "{% set l = words %}{% set l = l + ['z'] %}{{ words|length }}{{ l|length }}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('alternate') }}{% endif %}{{ m.role }}{% endfor %}",
    "{{ messages[-1].content }}{{ messages[0]['content'] }}{{ messages[1:]|length }}{{ (messages|last).role }}"
        "{{ messages[::-1][0].role }}",
    "{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{{ loop_messages|length }}",
    "{% for m in messages|selectattr('role', 'equalto', 'user') %}{{ m.content }}{% endfor %}",
    "{% set found = namespace(i=-1) %}{% for m in messages[::-1] %}{% set idx = (messages|length - 1) - loop.index0 "
        "%}{% if m.role == 'user' and found.i < 0 %}{% set found.i = idx %}{% endif %}{% endfor %}{{ found.i }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}"
        "{{ c.next() }}", "{% set j = joiner('|') %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}",
    "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% nope %}", "{% if %}", "{{ }}", "{{ 1 + }}",
    "{% if yes %}", "{% endif %}", "{{ 'abc }}", "{{ (1 }}", "{{ 1) }}", "{# x", "{% raw %}x",
    "{% for x in list %}", "{% break %}", "{{ a b }}", "{{ 1 is }}", "{{ 1 | }}", "{{ x.1y }}", "{{ $ }}",
    "{% set 1 = 2 %}", "{% set text.x = 2 %}", "{{ f(a=1, 2) }}", "{{ dict(**dict) }}", "{{ dict(*[[('a', 1)]]) }}",
    "{{ '%s-%s'|format(*words[:2]) }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1], **{'b': 2}) }}",
    "{{ text[:5] ~ '...' if text|length > 5 else text }}", "{{ (text if yes else none) | default('x') }}",
    "{{ 'a' if yes }}{{ 'a' if no }}", "{{ dict.c.d | tojson }}{{ dict['c']['d'][0] }}",
    "{{ thought.split('</think>')|last|trim }}",
    "{%- if '</think>' in thought %}{% set t = "
        "thought.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{{ t }}{% endif %}",
    "{{ messages|map(attribute='role')|unique|join('/') }}",
    "{% for group in people|groupby('age', default=0) %}{{ group.grouper }}:{{ group.list|length }};{% endfor %}",
    "{% for k, g in people|groupby('age', default=0) %}{{ k }}{{ g|length }}{% endfor %}", "{{ strftime_now('') }}",
    "{{ none is none }}{{ none is defined }}{{ missing is none }}",
    "{{ true }}{{ True }}{{ none }}{{ None }}{{ false }}",
    "{% set x = 5 %}{% set x = x + 1 if x > 3 else x %}{{ x }}", "{{ [1, 2, 3] | map('string') | join }}",
    "{{ {'b': 1, 'a': 2} | dictsort | first }}", "{{ -1 if -1 < 0 else 1 }}{{ - 1 }}{{ 3 - -1 }}",
    "{{ 1 if [] is sequence and not [] is mapping }}", "{{ ('a', 'b') | join }}{{ ('a') }}{{ ('a',) }}",
]


def main():
    cases = [f"{{{{ {expression} }}}}"
             for line in EXPRESSIONS.strip("\n").replace("\\\njoined", "\\\0joined").split("\n")
             for expression in split(line.replace("\0", "\n"))] + TEMPLATES
    out = []
    for template in cases:
        try:
            out.append([template, reference._cached_compile_jinja_template(template).render(**CONTEXT)])
        except (jinja2.exceptions.TemplateError, TypeError, KeyError, AttributeError, ValueError, IndexError,
                OverflowError, ZeroDivisionError, SyntaxError):
            out.append([template, None])
    out = [[template, text] for template, text in out if text is None or " object at 0x" not in text
           and "<generator" not in text and "<built-in" not in text and "<bound" not in text]
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in out)
    OUT.write_text(f'{{"context": {json.dumps(CONTEXT, ensure_ascii=False)}, "cases": [\n{rows}\n]}}\n')
    errors = sum(text is None for _, text in out)
    print(f"{OUT.name}: {len(out)} templates, {errors} of them errors, {OUT.stat().st_size} bytes")


def split(line):
    """Splits at semicolons outside of quotes."""
    pieces, quote, piece, escaped = [], "", "", False
    for c in line:
        if c == ";" and not quote:
            pieces.append(piece)
            piece = ""
            continue
        if quote:
            quote = "" if c == quote and not escaped else quote
        elif c in "'\"":
            quote = c
        escaped = c == "\\" and not escaped
        piece += c
    return pieces + [piece]


if __name__ == "__main__":
    main()
