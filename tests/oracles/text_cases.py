"""Texts that are hard to tokenize, and prose to train small vocabularies on (text_fixtures.py)."""
import random

# Public domain: L. Carroll 1865, H. Melville 1851, J. Austen 1813, C. Dickens 1859.
PROSE = """Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: \
once or twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it, \
\u201cand what is the use of a book,\u201d thought Alice \u201cwithout pictures or conversations?\u201d
So she was considering in her own mind (as well as she could, for the hot day made her feel very sleepy and stupid), \
whether the pleasure of making a daisy-chain would be worth the trouble of getting up and picking the daisies, when \
suddenly a White Rabbit with pink eyes ran close by her.
There was nothing so very remarkable in that; nor did Alice think it so very much out of the way to hear the Rabbit \
say to itself, \u201cOh dear! Oh dear! I shall be late!\u201d (when she thought it over afterwards, it occurred to her \
that she ought to have wondered at this, but at the time it all seemed quite natural)
Call me Ishmael. Some years ago\u2014never mind how long precisely\u2014having little or no money in my purse, and \
nothing particular to interest me on shore, I thought I would sail about a little and see the watery part of the \
world. It is a way I have of driving off the spleen and regulating the circulation. Whenever I find myself growing \
grim about the mouth; whenever it is a damp, drizzly November in my soul; whenever I find myself involuntarily pausing \
before coffin warehouses, and bringing up the rear of every funeral I meet
It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. \
However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is \
so well fixed in the minds of the surrounding families, that he is considered as the rightful property of some one or \
other of their daughters. "My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield Park is \
let at last?" Mr. Bennet replied that he had not. "But it is," returned she; "for Mrs. Long has just been here, and \
she told me all about it." Mr. Bennet made no answer. "Don't you want to know who has taken it?" cried his wife \
impatiently. "You want to tell me, and I've no objection to hearing it." "I'll see; we're sure they'd; he's; it's; I'm"
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was \
the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness, it \
was the spring of hope, it was the winter of despair, we had everything before us, we had nothing before us
"""

CODE = """int main(int argc, char **argv) {
    for (int i = 0; i < 100; i++) {
        printf("%d: %s\\n", i, argv[i]);
\t\tif (i >= 10 && i != 12 || x == 3.14159) { continue; }
    }
    return 0x1F + 1000000 - 12345;
}
def f(x, y=2, *args, **kwargs):\r\n    return {"a": [1, 22, 333, 4444], 'b': x**2}\r\n\r\n\
# 2024-05-17 12:34:56, 192.168.0.1
    <div class="a">&nbsp;</div>  https://example.org/a?b=c&d=1#e   a@b.co
"""

SCRIPTS = [
    "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Straße, GRÖSSE, ﬁn",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng.",
    "Wszyscy ludzie rodzą się wolni i równi; zażółć gęślą jaźń",
    "Bütün insanlar hür doğar: İstanbul, ılık, IŞIK",
    "Все люди рождаются свободными и равными в своём достоинстве и правах. Ёлка, й и й",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι. ΟΔΟΣ ὀδύσσεια",
    "כל בני האדם נולדו בני חורין. שָׁלוֹם",
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق. ١٢٣٤ ۱۲۳ لا",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता १२३ क्षत्रिय",
    "সমস্ত মানুষ স্বাধীনভাবে জন্মগ্রহণ করে",
    "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்",
    "ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును",
    "മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน ๑๒๓",
    "ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີ",
    "មនុស្សទាំងអស់កើតមកមានសេរីភាព",
    "လူတိုင်းသည် တူညီ လွတ်လပ်သော",
    "ყველა ადამიანი იბადება თავისუფალი. ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ",
    "Բոլոր մարդիկ ծնվում են ազատ ու հավասար",
    "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርም እኩል ነው። ፩፪፫",
    "人人生而自由，在尊严和权利上一律平等。二〇二四年",
    "すべての人間は、生まれながらにして自由であり、ｶﾞｷﾞ １２３ゲーム",
    "모든 인간은 태어날 때부터 자유로우며 ㄱㄴㄷ 각",
    "སེམས་ཅན་ཐམས་ཅད་", "ᠬᠦᠮᠦᠨ", "ᎣᏏᏲ ᏣᎳᎩ", "ꦲꦏ꧀ꦱꦫ", "𐌰𐌽𐌸𐌰𐍂 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𠜎𠜱 𒀀𒐕",
]

HARD = [
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", " \n", "\n ", " \n ", "\r\n", "\r\n\r\n", "\r", "\n\r",
    "\t\n", "\0", "a\0b",
    "a ", "a  ", "a   ", " a", "  a", "   a", "a b", "a  b", "a   b", "a\nb", "a\n\nb", "a \n b", "a  \n  b", "a\t b",
    "a \tb", "\ta",
    "a\r\nb", "a \r\n b", "a\u00a0b", "a\u00a0 b", "\u00a0\u00a0a", "a\u2003b", "a \u3000b", "\u3000\u3000", "a\u0085b",
    "a\u0085", "\u0085\u0085a",
    "a\u2028b\u2029", "a\x0bb\x0cc", "a\x1cb\x1fc", "\u200b\u200c\u200d", "\ufeffa", "a\u00adb", "\u2060", "\u180e a",
    "hello", "Hello", " Hello", "Hello world", " hello world", "Hello, world!", "HELLO WORLD", "hElLo", "helloworld",
    "wonderful", " wonderful", "Wonderful wonderful", "it is wonderful.", "wonderfully",
    "I'm", "I'M", "i'm", "don't", "DON'T", "Don'T", "we've", "WE'VE", "we'Ve", "they'll", "THEY'LL", "they'lL",
    "you're", "YOU'RE", "he'd", "HE'D",
    "'s", "'S", " 's", "''s", "'", "''", "'''", " '", "' ", "'x", "'tis", "'T", "'l", "'ll", "'le", "'v", "'r", "'re",
    "'rE", "'d1", "1's", "s's's's",
    "don\u2019t", "I\u2019m we\u2019ve", "\u2019s", "'\u017f", "'\u212a", "o'clock", "rock'n'roll", "y'all'd've", "'em",
    "'Twas", "a'b'c", "'1", "'\n", "' s",
    "'sx", "'SX", "'tx", "'TX", "'mx", "'MX", "'dx", "'DX", "'rex", "'REX", "'vex", "'VEX", "'llx", "'LLX", "a'dx",
    "A'DX", "'Dx", "'sX",
    " `", " $", " +", " <", " =", " >", " ^", " ~", " |", "`\u20ac", "a`b", "c[[[", "c[", "bc[[[[", "ac[b",
    "0", "1", "12", "123", "1234", "12345", "123456", "1234567", " 1", " 12", "  12", "1 2", "1  2", "a1", "1a",
    "a1b2c3", "1.5", "1,000,000", "$1.50",
    "3.14159265358979", "2024-01-31", "12:34:56", "0x1F", "1e-10", "٠١٢٣", "१२३४५", "１２３４", "12٣٤5", "²³¹", "½¾", "Ⅳ Ⅻ",
    "x² + y³", "①②③④", "一二三", "1²3", " ²", "a²b",
    "!", "!!", "!!!", "...", "....", "?!", " !", " ...", "! ", "a!", "!a", "a!b", "(a)", "[a]", "{a}", "<a>", "a.b.c",
    "a,b", "a, b", "--", "---", "a-b", "a--b", "_", "__a__",
    "!\n", "!\n\n", "!\r\n", "! \n", "!\na", "...\n...", "a!\n\nb", " !\n ", "!\t\n", "$", "$$", "$a", "+", "a+b",
    "a = b", "<=>", "^^", "~~", "||", "``", "`a`", "#$%&", "@user", "#tag",
    "\u201ca\u201d", "\u00aba\u00bb", "a\u2014b", "a\u2026", "\u00a1hola!", "\u00bfqu\u00e9?", "\u3001\u3002",
    "\u00a3100", "100\u20ac", "\u00b0C", "\u2192", "\u2260", "\u221a2", "\u00d7\u00f7",
    "caf\u00e9", "cafe\u0301", "e\u0301e\u0301", "\u0301", "\u0301a", " \u0301", "1\u0301", "n\u0303o", "\u0928\u093f",
    "\u0e33", "a\u20dd", "\u0300\u0301\u0302", "Z\u0351\u036b\u0343a\u0335l\u0322g\u030fo\u031b",
    "\U0001f600", "\U0001f600\U0001f601", " \U0001f600", "a\U0001f600b", "\U0001f44d\U0001f3fd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\u263a\ufe0e",
    "\U0001f600 \U0001f600\n\U0001f600", "\U0001f469\u200d\U0001f4bb\u2019s",
    "\ufffd", "a\ufffdb", "\ue000", "\uf8ff", "\U0010ffff", "\ufffe", "\u0378", "\U000e0001", "\ud7ff\ue000",
    "\U0001fae9",
    "\x01", "\x7f", "\x80", "a\x01b", "\x1b[31mred\x1b[0m", "\x00\x01\x02\x03", "\x7f\x7f",
    "\u00df", "\u1e9e", "\u0130", "\u0131", "\u01c5", "\u02b0\u02b1", "\u00aa\u00ba", "\u2160", "\u24b6", "\u3007",
    "\uff21", "\u0345", "\u1f80",
    "\u2581", "\u2581\u2581", "a\u2581b", "\u2581a", "a \u2581 b", "\u0120a", "\u010a", "\u0100", "<0x0A>", "<0x41>",
    "a<0x20>b", "\u00c3\u00a9",
    "a" * 300, "ab" * 200, " " * 100, "\n" * 50, " \n" * 30, "1" * 100, "!" * 100, "\u4eba" * 100, "\U0001f600" * 40,
    "a " * 100, "'s" * 40, "\u0301" * 60, "\t" * 40,
    "supercalifragilisticexpialidocious",
    "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
    "    indented", "\tindented", "        twice", "x  =  1;\n\n\n    y", "if (a):\n    b\n\n  c", "a\n\n\n", "a   \n",
    "a \n\n b", "  \n  \n  a", "\n\n\na", " \t \n\t ", "a\n ", "a\n  b", "1\n2", "1 \n 2",
    "<|endoftext|>", "a<|endoftext|>b", "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", " <|im_end|> ",
    "<|im_end|><|im_end|>", "<|im_end", "|im_end|>", "<|IM_END|>", "<|im_end|>>",
    "<<|im_end|>", "<|<|im_end|>|>", "<s>", "</s>", "<s>a</s>", " <s> a </s> ", "<unk>", "a<unk>b", "[[", "[[[", "[[[[",
    "[[[[[", "[[[[[[[", "a[[b[[[c", "[", "]]", "[[]]", "<tool>", "a <tool> b", "<tool><tool>", "<tool",
    "abcx", "bcxy", "xabcxyz", "abcxy", "<|im_start|>system\nYou are.<|im_end|>\n", "<|endoftext|>\n<|endoftext|>",
    "\u2581\u2581<tool>\u2581", "  <tool>  ", "<tool>\n", "\n<s>", "<s>1", "1<s>2", "<s><s>", "<s> <s>",
]

_PIECES = ["'s", "'T", "'ll", "'", "\u2019", " ", "  ", "   ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u0085", "1",
           "22", "333", "4444", "\u00b2", "\u0661\u0662", "\u2163",
           "a", "The", "hello", "WORLD", "\u00e9", "e\u0301", "\u0301", "\u0928\u093f", "\u4eba\u4eba", "\uac01",
           "\u0e17\u0e31\u0e49", "\u0623", "!", "...", "$", "^", "-", "(", "\u201c", "\u3002",
           "\U0001f600", "\u200d", "\ufe0f", "\x00", "\x1f", "\u200b", "\ue000", "\ufffd", "wonderful", " it was ",
           ", and ", "of the", "\u2581", "\u0120"]
_SPECIAL = ["<|endoftext|>", "<|im_end|>", "<s>", "</s>", "<unk>", "[[", "[[[", "<tool>", "abcx", "bcxy", "<0x0A>"]


def all_texts():
    generator = random.Random(20240517)
    texts = HARD + SCRIPTS + [PROSE[:700], CODE]
    for _ in range(200):
        texts.append("".join(generator.choice(_PIECES) for _ in range(generator.randint(2, 14))))
    for _ in range(60):
        texts.append("".join(generator.choice(_PIECES + 4 * _SPECIAL) for _ in range(generator.randint(2, 10))))
    for _ in range(40):  # any assigned or unassigned character
        codepoints = [generator.choice([generator.randrange(0x3000), generator.randrange(0x20000)]) for _ in range(12)]
        texts.append("".join(chr(c) for c in codepoints if not 0xD800 <= c < 0xE000))
    return texts
