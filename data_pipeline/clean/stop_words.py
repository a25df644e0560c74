"""Stop words by language: a text that flows holds some of them, a list of goods or of keys holds few.

English are the eight of Gopher (Rae et al. 2021, A.1.1: "the, be, to, of, and, that, have, with"). For the other languages
the paper has none; these are articles, prepositions, conjunctions and forms of "to be" and "to have", chosen as Gopher's
are: few, short, and frequent in any kind of prose.
"""

from __future__ import annotations

RULE_VERSION = 1

STOP_WORDS: dict[str, str] = {
    "en": "the be to of and that have with",
    "ar": "في من على أن إلى عن مع هذا التي الذي كان لا",
    "bg": "на и да от за се в с не че по са",
    "ca": "de la que i el en un per és amb no els",
    "cs": "a se na v je že s z to do by pro",
    "da": "og i at det er en til af på med for den",
    "de": "der die und in zu den das mit von ist nicht dass",
    "el": "και το να του η της με για από που στο είναι",
    "es": "de la que el en y a los se con por una",
    "et": "ja on ei et ka kui oli see ning aga või mis",
    "fa": "و در به از که این را با است برای آن می",
    "fi": "ja on ei että se oli mutta hän kun joka myös tai",
    "fr": "de la le et les des en un que est pour dans",
    "he": "של את על לא הוא זה עם היא כי גם או אל",
    "hi": "के में है की और से का को पर यह हैं कि",
    "hr": "i je u se na da za su s od ne što",
    "hu": "a az és hogy nem is egy van meg de volt ez",
    "id": "yang dan di dari untuk dengan ini pada itu dalam tidak ke",
    "it": "di e il la che in un per non con è una",
    "lt": "ir yra kad su į iš tai bet kaip buvo jo ne",
    "lv": "un ir ar par no ka uz tas bet kas bija lai",
    "nl": "de het een en van in is dat op te met niet",
    "no": "og i det er til en på som av for med den",
    "pl": "i w na z do się nie że to jest o jak",
    "pt": "de a que o e do da em um para com não",
    "ro": "de și în la a cu care pe nu este din un",
    "ru": "и в не на что с он как это по но из",
    "sk": "a sa na v je že s z to do aby pre",
    "sl": "in je v se na da za so z ki ne pa",
    "sv": "och i att det som en på är av för med den",
    "tr": "ve bir bu da de için ile olarak çok daha gibi olan",
    "uk": "і в не на що з та до як це у за",
    "vi": "và của là có cho không được với một trong các những",
}


def words_of(language: str, own: dict[str, list[str]]) -> list[str]:
    """The list of a language, the user's first; empty where there is none."""
    return own[language] if language in own else STOP_WORDS.get(language, "").split()
