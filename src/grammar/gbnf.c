/* GBNF (llama.cpp's form of grammars) -> a syntax tree -> a program.
 *
 *   root ::= "say " word ("," ws word){0,3} # a comment
 *   word ::= [a-z]+ | .
 *
 * A rule ends with its line, unless a parenthesis is open, or the line ends with ::= or |. */
#include "program.h"

#include "../base/hash.h"
#include "../base/numbers.h"
#include "../base/sort.h"

enum {
    MOST_TEXT = 1 << 20,
    MOST_RULES = 1 << 13,
    SLOTS = 2 * MOST_RULES,
    MOST_HEIGHT = 100,     /* of the syntax tree: groups within groups, repetitions of repetitions */
    MOST_REPEATS = 100000, /* the largest number in {m,n} */
    MOST_WORK = 1 << 22    /* parts that are written out, empty ones too */
};

typedef enum kind {
    KIND_LITERAL, /* bytes[at ... at + n) */
    KIND_CLASS,   /* ranges[at ... at + n), sorted */
    KIND_REF,     /* rule `at` */
    KIND_ITEMS,   /* one after another: `at` is the last, whose `before` is the one before it; 0: none */
    KIND_CHOICE,  /* one of: as KIND_ITEMS */
    KIND_REPEAT   /* part `at`, least ... most times */
} kind;

enum { NO_MOST = UINT32_MAX };

/* The bits that mark the first byte of a character with 0 ... 3 bytes more, and the lowest such character. */
static const uint32_t LEADS[] = {0, 0xc0, 0xe0, 0xf0}, LEAST[] = {0, 0x80, 0x800, 0x10000, 0x110000};

typedef struct part {
    kind kind;
    uint32_t at, n, before, least, most, height;
} part;

typedef struct range {
    uint32_t lo, hi; /* code points */
} range;

typedef struct parser {
    nb_program *p;
    nb_error *err;
    const char *at, *end;
    uint32_t line, column; /* of `at` */
    part *parts;           /* [0] is none */
    uint64_t part_capacity, range_capacity, byte_capacity, arm_capacity;
    uint32_t n_parts, n_ranges, n_bytes, n_arms;
    uint64_t *ranges; /* lo << 32 | hi, so that they can be sorted */
    uint8_t *bytes;
    nb_arm *arms; /* of the class that is being written out */
    uint32_t work;
    uint32_t *slots; /* [SLOTS], by the hash of a rule's name: its number + 1; 0: free */
} parser;

/* ---- places and characters ---- */

typedef struct place {
    uint32_t line, column;
} place;

static place place_of(const parser *s) {
    return (place){s->line, s->column};
}

#define REFUSE(s, where, format, ...)                                                      \
    NB_FAIL((s)->err, NB_ERR_FORMAT, "grammar, line %u, column %u: " format, (where).line, \
            (where).column __VA_OPT__(, ) __VA_ARGS__)

static char peek(const parser *s) {
    return s->at < s->end ? *s->at : 0;
}

static bool sees(const parser *s, const char *text) {
    nb_text rest = {s->at, (size_t)(s->end - s->at)};
    return nb_text_take(&rest, text);
}

/* Goes on by a byte. Columns count characters, so the later bytes of a character count nothing. */
static void advance(parser *s) {
    char c = *s->at++;
    s->column += ((uint8_t)c & 0xc0) != 0x80;
    if (c == '\n') {
        s->line++;
        s->column = 1;
    }
}

/* Spaces and comments, and the ends of lines if a rule may go on behind them. */
static void skip_space(parser *s, bool lines) {
    while (s->at < s->end) {
        char c = *s->at;
        if (c == '#')
            while (s->at < s->end && *s->at != '\n' && *s->at != '\r')
                advance(s);
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
            advance(s);
        else
            break;
    }
}

/* The next character of the text, which is UTF-8. */
static int32_t take_character(parser *s, uint32_t *code) {
    uint8_t first = (uint8_t)*s->at;
    uint32_t more = first < 0x80 ? 0 : first < 0xc0 ? 4 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf8 ? 3 : 4;
    place where = place_of(s);
    uint32_t c = more ? first & (0x3fu >> more) : first;
    bool good = more < 4 && (size_t)(s->end - s->at) > more;
    for (uint32_t i = 1; good && i <= more; i++) {
        uint8_t next = (uint8_t)s->at[i];
        good = (next & 0xc0) == 0x80;
        c = c << 6 | (next & 0x3f);
    }
    if (!good || c < LEAST[more] || c > 0x10ffff || c >> 11 == 0x1b)
        return REFUSE(s, where, "these bytes are no UTF-8: give the grammar as UTF-8");
    advance(s);
    s->at += more;
    *code = c;
    return NB_OK;
}

static int32_t take_hex(parser *s, place where, uint32_t digits, uint32_t *code) {
    uint32_t c = 0;
    for (uint32_t i = 0; i < digits; i++) {
        int32_t digit = nb_hex_digit((uint8_t)peek(s));
        if (digit < 0)
            return REFUSE(s, where, "this escape needs %u hexadecimal digits, as in \\x41, \\u00e9 or \\U0001f600",
                          digits);
        c = c << 4 | (uint32_t)digit;
        advance(s);
    }
    if (c > 0x10ffff)
        return REFUSE(s, where, "there is no character %x: the last one is \\U0010ffff", c);
    *code = c;
    return NB_OK;
}

/* A character of a literal or class, perhaps as an escape. */
static int32_t take_code(parser *s, uint32_t *code) {
    if (peek(s) != '\\')
        return take_character(s, code);
    place where = place_of(s);
    advance(s);
    char c = peek(s);
    switch (c) {
    case 'x':
    case 'u':
    case 'U': advance(s); return take_hex(s, where, c == 'x' ? 2 : c == 'u' ? 4 : 8, code);
    case 't': *code = '\t'; break;
    case 'r': *code = '\r'; break;
    case 'n': *code = '\n'; break;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^': *code = (uint8_t)c; break;
    default:
        return REFUSE(s, where,
                      "there is no such escape: write \\n, \\r, \\t, \\\\, \\\", \\[, \\], \\-, \\^, \\x41, \\u00e9 or "
                      "\\U0001f600");
    }
    advance(s);
    return NB_OK;
}

/* ---- the syntax tree ---- */

static int32_t add_part(parser *s, part one, uint32_t *index) {
    NB_TRY(nb_grow((void **)&s->parts, &s->part_capacity, s->n_parts, sizeof *s->parts, "parts of a grammar", s->err));
    s->parts[s->n_parts] = one;
    *index = s->n_parts++;
    return NB_OK;
}

static int32_t add_byte(parser *s, uint32_t byte) {
    NB_TRY(nb_grow((void **)&s->bytes, &s->byte_capacity, s->n_bytes, 1, "bytes of a grammar", s->err));
    s->bytes[s->n_bytes++] = (uint8_t)byte;
    return NB_OK;
}

static int32_t take_literal(parser *s, uint32_t *index) {
    place start = place_of(s);
    uint32_t from = s->n_bytes;
    for (advance(s); peek(s) != '"' || s->at == s->end;) {
        if (s->at == s->end)
            return REFUSE(s, start, "this quote is not closed: end the text with \"");
        place where = place_of(s);
        uint32_t c;
        NB_TRY(take_code(s, &c));
        if (c >> 11 == 0x1b)
            return REFUSE(s, where, "\\u%x is half of a character: write the whole one, as in \\U0001f600", c);
        uint32_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        NB_TRY(add_byte(s, LEADS[more] | c >> 6 * more));
        while (more--)
            NB_TRY(add_byte(s, 0x80 | (c >> 6 * more & 0x3f)));
    }
    advance(s);
    return add_part(s, (part){.kind = KIND_LITERAL, .at = from, .n = s->n_bytes - from}, index);
}

static range range_of(uint64_t key) {
    return (range){(uint32_t)(key >> 32), (uint32_t)key};
}

static int32_t add_range(parser *s, uint32_t lo, uint32_t hi) {
    if (lo > hi)
        return NB_OK;
    NB_TRY(nb_grow((void **)&s->ranges, &s->range_capacity, s->n_ranges, sizeof *s->ranges, "classes", s->err));
    s->ranges[s->n_ranges++] = (uint64_t)lo << 32 | hi;
    return NB_OK;
}

/* Sorts and joins the ranges from `from` on, or takes what they leave out, and leaves out surrogates, which no UTF-8
 * has. The result stands behind them. */
static int32_t finish_ranges(parser *s, uint32_t from, bool negated, uint32_t *first) {
    uint32_t n = s->n_ranges - from, next = 0; /* the lowest code point that is not done */
    nb_sort_keys(s->ranges + from, n);
    *first = s->n_ranges;
    for (uint32_t i = 0; i <= n; i++) {
        range r = i < n ? range_of(s->ranges[from + i]) : (range){0x110000, 0x110000};
        uint32_t lo = negated ? next : NB_MAX(next, r.lo), hi = negated ? r.lo - 1 : r.hi;
        bool some = negated ? r.lo > next : i < n && r.hi >= next;
        if (some) {
            NB_TRY(add_range(s, lo, NB_MIN(hi, 0xd7ff)));
            NB_TRY(add_range(s, NB_MAX(lo, 0xe000), hi));
        }
        next = NB_MAX(next, r.hi + 1);
    }
    return NB_OK;
}

static int32_t take_class(parser *s, uint32_t *index) {
    place start = place_of(s);
    uint32_t from = s->n_ranges, first;
    bool negated;
    if (peek(s) == '.') {
        advance(s);
        negated = true;
    } else {
        advance(s);
        negated = peek(s) == '^';
        if (negated)
            advance(s);
        if (peek(s) == ']')
            return REFUSE(s, start, "this class is empty: write . for any character, and \\] for a bracket");
        while (peek(s) != ']' || s->at == s->end) {
            if (s->at == s->end)
                return REFUSE(s, start, "this class is not closed: end it with ]");
            place where = place_of(s);
            uint32_t lo, hi;
            NB_TRY(take_code(s, &lo));
            hi = lo;
            if (peek(s) == '-' && s->end - s->at > 1 && s->at[1] != ']') {
                advance(s);
                NB_TRY(take_code(s, &hi));
                if (hi < lo)
                    return REFUSE(s, where, "this range goes backwards: write the lower character first");
            }
            NB_TRY(add_range(s, lo, hi));
        }
        advance(s);
    }
    NB_TRY(finish_ranges(s, from, negated, &first));
    if (first == s->n_ranges)
        return REFUSE(s, start, "this class has no character");
    return add_part(s, (part){.kind = KIND_CLASS, .at = first, .n = s->n_ranges - first}, index);
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static nb_text take_name(parser *s) {
    const char *from = s->at;
    while (is_word(peek(s)))
        advance(s);
    return (nb_text){from, (size_t)(s->at - from)};
}

/* The rule of this name, new if it is the first mention. */
static int32_t rule_of(parser *s, nb_text name, place where, uint32_t *index) {
    nb_program *p = s->p;
    uint32_t slot = nb_hash(0, name.data, name.size) % SLOTS;
    for (; s->slots[slot]; slot = (slot + 1) % SLOTS) {
        *index = s->slots[slot] - 1;
        if (nb_text_equal(p->rules[*index].name, name))
            return NB_OK;
    }
    if (p->n_rules == MOST_RULES)
        return REFUSE(s, where, "there are more than %u rules", (uint32_t)MOST_RULES);
    NB_TRY(nb_grow((void **)&p->rules, &p->rule_capacity, p->n_rules, sizeof *p->rules, "rules", s->err));
    p->rules[p->n_rules] = (nb_rule){.name = name, .line = where.line, .column = where.column};
    *index = p->n_rules++;
    s->slots[slot] = *index + 1;
    return NB_OK;
}

static int32_t take_choice(parser *s, bool nested, uint32_t depth, uint32_t *index);

/* NOLINTNEXTLINE(misc-no-recursion) */
static int32_t take_group(parser *s, uint32_t depth, uint32_t *index) {
    place start = place_of(s);
    if (depth == MOST_HEIGHT)
        return REFUSE(s, start, "there are more than %u parentheses within each other: use rules", depth);
    advance(s);
    skip_space(s, true);
    NB_TRY(take_choice(s, true, depth + 1, index));
    if (peek(s) != ')')
        return REFUSE(s, start, "this parenthesis is not closed: end it with )");
    advance(s);
    return NB_OK;
}

/* One item without its repetition. *index = 0: there is none here. NOLINTNEXTLINE(misc-no-recursion) */
static int32_t take_item(parser *s, uint32_t depth, uint32_t *index) {
    place where = place_of(s);
    *index = 0;
    if (s->at == s->end)
        return NB_OK;
    if (*s->at == '"')
        return take_literal(s, index);
    if (*s->at == '[' || *s->at == '.')
        return take_class(s, index);
    if (*s->at == '(')
        return take_group(s, depth, index);
    if (*s->at == '<' || *s->at == '!')
        return REFUSE(s, where,
                      "nibble has no tokens in grammars, such as <think>: write the text that is meant as "
                      "\"text\"");
    if (is_word(*s->at)) {
        nb_text name = take_name(s);
        uint32_t rule;
        NB_TRY(rule_of(s, name, where, &rule));
        return add_part(s, (part){.kind = KIND_REF, .at = rule}, index);
    }
    return NB_OK;
}

static int32_t take_number(parser *s, bool lines, uint32_t *number) {
    place where = place_of(s);
    const char *from = s->at;
    for (*number = 0; peek(s) >= '0' && peek(s) <= '9'; advance(s)) {
        *number = *number * 10 + (uint32_t)(*s->at - '0');
        if (*number > MOST_REPEATS)
            return REFUSE(s, where, "a repetition may be at most %u", (uint32_t)MOST_REPEATS);
    }
    if (s->at == from)
        return REFUSE(s, where, "a number is missing: write {2}, {2,} or {2,5}");
    skip_space(s, lines);
    return NB_OK;
}

/* *, +, ? or {m,n} after an item. */
static int32_t take_repeat(parser *s, bool lines, uint32_t *index, bool *taken) {
    place where = place_of(s);
    char c = peek(s);
    uint32_t least = c == '+', most = c == '?' ? 1 : NO_MOST;
    *taken = c == '*' || c == '+' || c == '?' || c == '{';
    if (!*taken)
        return NB_OK;
    if (!*index)
        return REFUSE(s, where, "there is nothing before this to repeat");
    advance(s);
    if (c == '{') {
        skip_space(s, lines);
        NB_TRY(take_number(s, lines, &least));
        most = least;
        if (peek(s) == ',') {
            advance(s);
            skip_space(s, lines);
            most = NO_MOST;
            if (peek(s) != '}')
                NB_TRY(take_number(s, lines, &most));
        }
        if (peek(s) != '}')
            return REFUSE(s, where, "this repetition is not closed: write {2}, {2,} or {2,5}");
        if (most < least)
            return REFUSE(s, where, "this repetition has its larger number first: write {%u,%u}", most, least);
        advance(s);
    }
    uint32_t height = s->parts[*index].height + 1;
    if (height > MOST_HEIGHT)
        return REFUSE(s, where, "there are more than %u repetitions of repetitions", (uint32_t)MOST_HEIGHT);
    return add_part(s, (part){.kind = KIND_REPEAT, .at = *index, .least = least, .most = most, .height = height},
                    index);
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int32_t take_items(parser *s, bool nested, uint32_t depth, uint32_t *index) {
    part items = {.kind = KIND_ITEMS};
    for (uint32_t item;;) {
        place where = place_of(s);
        NB_TRY(take_item(s, depth, &item));
        skip_space(s, nested);
        for (bool taken = true; taken;) {
            NB_TRY(take_repeat(s, nested, &item, &taken));
            skip_space(s, nested);
        }
        if (!item)
            break;
        uint32_t height = s->parts[item].height + 1;
        if (height > MOST_HEIGHT)
            return REFUSE(s, where, "there are more than %u groups and repetitions within each other: use rules",
                          (uint32_t)MOST_HEIGHT);
        items.height = NB_MAX(items.height, height);
        s->parts[item].before = items.at;
        items.at = item;
    }
    return add_part(s, items, index);
}

/* The tree's height is bounded, so these functions may call each other: NOLINTNEXTLINE(misc-no-recursion) */
static int32_t take_choice(parser *s, bool nested, uint32_t depth, uint32_t *index) {
    part choice = {.kind = KIND_CHOICE};
    for (;;) {
        uint32_t items;
        NB_TRY(take_items(s, nested, depth, &items));
        s->parts[items].before = choice.at;
        choice.at = items;
        choice.height = NB_MAX(choice.height, s->parts[items].height);
        if (peek(s) != '|')
            break;
        advance(s);
        skip_space(s, true);
    }
    return add_part(s, choice, index);
}

static int32_t take_rule(parser *s) {
    place where = place_of(s);
    nb_text name = take_name(s);
    if (!name.size)
        return REFUSE(s, where, "a rule begins here with its name, as in 'root ::= \"yes\" | \"no\"'");
    uint32_t rule, body;
    NB_TRY(rule_of(s, name, where, &rule));
    if (s->p->rules[rule].body)
        return REFUSE(s, where, "the rule %t is there twice: join both with |", name);
    skip_space(s, false);
    where = place_of(s);
    if (!sees(s, "::="))
        return REFUSE(s, where, "the rule %t needs ::= behind its name", name);
    s->at += 3;
    s->column += 3;
    skip_space(s, true);
    NB_TRY(take_choice(s, false, 0, &body));
    s->p->rules[rule].body = body;
    where = place_of(s);
    char c = peek(s);
    if (s->at < s->end && c != '\n' && c != '\r')
        return REFUSE(s, where,
                      "the rule %t cannot go on like this: write texts as \"text\", classes as [a-z], names of rules, "
                      "groups in parentheses, and | between alternatives",
                      name);
    skip_space(s, true);
    return NB_OK;
}

/* ---- writing it out ---- */

static int32_t emit(parser *s, uint32_t index, uint32_t next, uint32_t *entry);

static int32_t emit_literal(parser *s, const part *one, uint32_t next, uint32_t *entry) {
    for (uint32_t i = one->n; i-- > 0;) {
        uint8_t byte = s->bytes[one->at + i];
        NB_TRY(nb_program_add_arm(s->p, (nb_arm){byte, byte, next}, s->err));
        NB_TRY(nb_program_add(s->p, NB_OP_BYTES, s->p->n_arms - 1, 1, &next, s->err));
    }
    *entry = next;
    return NB_OK;
}

/* Where the continuation bytes of a class lead: after[k] reads k of them, whichever they are, and is made if needed. */
typedef struct tails {
    uint32_t after[4];
} tails;

static int32_t tail_of(parser *s, tails *t, uint32_t k, uint32_t *node) {
    for (uint32_t i = 1; i <= k; i++)
        if (!t->after[i]) {
            NB_TRY(nb_program_add_arm(s->p, (nb_arm){0x80, 0xbf, t->after[i - 1]}, s->err));
            NB_TRY(nb_program_add(s->p, NB_OP_BYTES, s->p->n_arms - 1, 1, &t->after[i], s->err));
        }
    *node = t->after[k];
    return NB_OK;
}

/* The arms for characters lo ... hi that have k bytes after this one: at most one for those with the first value of
 * this byte, one for those with the last, and one for all between. lead: the bits that mark this byte. */
static int32_t arms_of(parser *s, tails *t, uint32_t lo, uint32_t hi, uint32_t k, uint32_t lead, nb_arm *arms,
                       uint32_t *n);

/* The node that reads the k bytes of lo ... hi. NOLINTNEXTLINE(misc-no-recursion) */
static int32_t partial(parser *s, tails *t, uint32_t lo, uint32_t hi, uint32_t k, uint32_t *node) {
    nb_arm arms[3];
    uint32_t n = 0;
    NB_TRY(arms_of(s, t, lo, hi, k - 1, 0x80, arms, &n));
    for (uint32_t i = 0; i < n; i++)
        NB_TRY(nb_program_add_arm(s->p, arms[i], s->err));
    return nb_program_add(s->p, NB_OP_BYTES, s->p->n_arms - n, n, node, s->err);
}

/* NOLINTNEXTLINE(misc-no-recursion): a character has four bytes at most */
static int32_t arms_of(parser *s, tails *t, uint32_t lo, uint32_t hi, uint32_t k, uint32_t lead, nb_arm *arms,
                       uint32_t *n) {
    uint32_t shift = 6 * k, mask = (1u << shift) - 1, a = lo >> shift, b = hi >> shift, node;
    if (k && a == b && (lo & mask || (hi & mask) != mask)) {
        NB_TRY(partial(s, t, lo & mask, hi & mask, k, &node));
        arms[(*n)++] = (nb_arm){(uint8_t)(lead | a), (uint8_t)(lead | a), node};
        return NB_OK;
    }
    if (lo & mask) {
        NB_TRY(partial(s, t, lo & mask, mask, k, &node));
        arms[(*n)++] = (nb_arm){(uint8_t)(lead | a), (uint8_t)(lead | a), node};
        a++;
    }
    bool ragged = (hi & mask) != mask;
    if (a + ragged <= b) {
        NB_TRY(tail_of(s, t, k, &node));
        arms[(*n)++] = (nb_arm){(uint8_t)(lead | a), (uint8_t)(lead | (b - ragged)), node};
    }
    if (ragged) {
        NB_TRY(partial(s, t, 0, hi & mask, k, &node));
        arms[(*n)++] = (nb_arm){(uint8_t)(lead | b), (uint8_t)(lead | b), node};
    }
    return NB_OK;
}

static int32_t emit_class(parser *s, const part *one, uint32_t next, uint32_t *entry) {
    tails t = {{next}};
    s->n_arms = 0;
    for (uint32_t i = 0; i < one->n; i++) {
        range r = range_of(s->ranges[one->at + i]);
        for (uint32_t k = 0; k < 4; k++) {
            uint32_t lo = NB_MAX(r.lo, LEAST[k]), hi = NB_MIN(r.hi, LEAST[k + 1] - 1), n = 0;
            if (lo > hi)
                continue;
            nb_arm arms[3];
            NB_TRY(arms_of(s, &t, lo, hi, k, LEADS[k], arms, &n));
            for (uint32_t j = 0; j < n; j++) {
                NB_TRY(nb_grow((void **)&s->arms, &s->arm_capacity, s->n_arms, sizeof *s->arms, "classes", s->err));
                s->arms[s->n_arms++] = arms[j];
            }
        }
    }
    for (uint32_t i = 0; i < s->n_arms; i++)
        NB_TRY(nb_program_add_arm(s->p, s->arms[i], s->err));
    return nb_program_add(s->p, NB_OP_BYTES, s->p->n_arms - s->n_arms, s->n_arms, entry, s->err);
}

/* a{2,4} is a a (a (a)?)?, and a{2,} is a a a*. NOLINTNEXTLINE(misc-no-recursion) */
static int32_t emit_repeat(parser *s, const part *one, uint32_t next, uint32_t *entry) {
    part copy = *one;
    uint32_t end = next, body, split;
    if (copy.most == NO_MOST) {
        NB_TRY(nb_program_add(s->p, NB_OP_SPLIT, end, end, &split, s->err));
        NB_TRY(emit(s, copy.at, split, &body));
        s->p->nodes[split].next = body;
        next = split;
    } else {
        for (uint32_t i = copy.least; i < copy.most; i++) {
            NB_TRY(emit(s, copy.at, next, &body));
            NB_TRY(nb_program_add(s->p, NB_OP_SPLIT, body, end, &next, s->err));
        }
    }
    for (uint32_t i = 0; i < copy.least; i++)
        NB_TRY(emit(s, copy.at, next, &next));
    *entry = next;
    return NB_OK;
}

/* Writes a part out so that it leads to `next`: the later ones first. NOLINTNEXTLINE(misc-no-recursion) */
static int32_t emit(parser *s, uint32_t index, uint32_t next, uint32_t *entry) {
    const part *one = &s->parts[index];
    if (s->work++ == MOST_WORK)
        return NB_FAIL(s->err, NB_ERR_UNSUPPORTED,
                       "the grammar's repetitions, such as {1000}, are too large together: use smaller numbers, or * "
                       "and +");
    switch (one->kind) {
    case KIND_LITERAL: return emit_literal(s, one, next, entry);
    case KIND_CLASS: return emit_class(s, one, next, entry);
    case KIND_REF: return nb_program_add(s->p, NB_OP_CALL, next, one->at, entry, s->err);
    case KIND_ITEMS:
        for (uint32_t item = one->at; item; item = s->parts[item].before)
            NB_TRY(emit(s, item, next, &next));
        *entry = next;
        return NB_OK;
    case KIND_CHOICE: {
        uint32_t others = 0;
        for (uint32_t items = one->at; items; items = s->parts[items].before) {
            uint32_t node;
            NB_TRY(emit(s, items, next, &node));
            if (items != one->at)
                NB_TRY(nb_program_add(s->p, NB_OP_SPLIT, node, others, &node, s->err));
            others = node;
        }
        *entry = others;
        return NB_OK;
    }
    case KIND_REPEAT: return emit_repeat(s, one, next, entry);
    }
    return NB_OK;
}

static int32_t check_rules(parser *s) {
    nb_program *p = s->p;
    for (p->root = 0; p->root < p->n_rules && !nb_text_is(p->rules[p->root].name, "root"); p->root++)
        ;
    if (p->root == p->n_rules)
        return NB_FAIL(s->err, NB_ERR_FORMAT,
                       "the grammar has no rule root, which every answer follows: add one, as in 'root ::= \"yes\" | "
                       "\"no\"'");
    for (uint32_t r = 0; r < p->n_rules; r++) {
        const nb_rule *rule = &p->rules[r];
        if (!rule->body)
            return REFUSE(s, *rule, "there is no rule %t: define it, or correct its name", rule->name);
    }
    return NB_OK;
}

static int32_t read_all(parser *s) {
    uint32_t none;
    s->slots = nb_alloc(SLOTS * sizeof *s->slots);
    if (!s->slots)
        return NB_FAIL(s->err, NB_ERR_MEMORY, "no memory for the rules of a grammar");
    memset(s->slots, 0, SLOTS * sizeof *s->slots);
    NB_TRY(add_part(s, (part){0}, &none));
    skip_space(s, true);
    while (s->at < s->end)
        NB_TRY(take_rule(s));
    NB_TRY(check_rules(s));
    NB_TRY(nb_program_add(s->p, NB_OP_END, 0, 0, &none, s->err));
    for (uint32_t r = 0; r < s->p->n_rules; r++)
        NB_TRY(emit(s, s->p->rules[r].body, NB_NODE_END, &s->p->rules[r].start));
    return nb_program_finish(s->p, s->err);
}

int32_t nb_program_read(nb_program *p, const char *text, size_t size, nb_error *err) {
    if (size > MOST_TEXT)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the grammar has %z bytes; at most %u are possible", size,
                       (uint32_t)MOST_TEXT);
    p->text = nb_alloc(size);
    if (!p->text)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a grammar of %z bytes", size);
    if (size)
        memcpy(p->text, text, size);
    parser s = {.p = p, .err = err, .at = p->text, .end = p->text + size, .line = 1, .column = 1};
    int32_t code = read_all(&s);
    nb_free(s.parts);
    nb_free(s.ranges);
    nb_free(s.bytes);
    nb_free(s.arms);
    nb_free(s.slots);
    return code;
}
