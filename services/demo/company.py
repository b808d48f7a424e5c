"""The market of the demo: firms, the people in them, and what sort of lead each is. Pure, the same for a seed."""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from random import Random
from typing import Final

FIRMS: Final = 60
STUDENTS: Final = 24
COMPETITORS: Final = 4
VISITORS: Final = 50


class Persona(StrEnum):
    """How a person behaves as a lead."""

    CHAMPION = "champion"
    EVALUATOR = "evaluator"
    SILENT = "silent"
    STUDENT = "student"
    COMPETITOR = "competitor"
    VISITOR = "visitor"
    """Looks at pages and never says who it is."""


@dataclass(frozen=True, slots=True)
class Firm:
    """Where people work; `country` as ISO 3166 writes it."""

    name: str
    domain: str
    industry: str
    country: str
    employees: int


@dataclass(frozen=True, slots=True)
class Person:
    """One future lead, by every name that some system has for it."""

    number: int
    name: str
    email: str
    title: str
    firm: Firm
    persona: Persona
    anonymous_id: str
    hubspot_id: str


_FAMILIES: Final = (
    *("Lindqvist", "Bergström", "Håkansson", "Nyström", "Sandvik", "Dahl", "Solberg", "Kristensen", "Mäkinen"),
    *("Virtanen", "Brandt", "Vogel", "Schäfer", "Krüger", "De Vries", "Visser", "Moreau", "Lefèvre", "Rossi"),
    *("Ferrari", "Novák", "Kowalski", "Nowak", "García", "Ortega", "Silva", "O'Brien", "Murphy", "Walker"),
    *("Okafor", "Haddad", "Patel", "Tanaka", "Nguyen", "Petrov", "Horvat", "Bauer", "Jansen", "Lund"),
)
_GIVEN: Final = (
    *("Anna", "Björn", "Carla", "David", "Elin", "Farid", "Grace", "Henrik", "Ingrid", "Jonas", "Katarzyna"),
    *("Lars", "Maria", "Nils", "Olivia", "Pieter", "Qasim", "Rosa", "Søren", "Tove", "Ulrike", "Viktor"),
    *("Wanda", "Xenia", "Yusuf", "Zoë", "Chloé", "Mateo", "Aino", "Émile", "Priya", "Kenji", "Sofia", "Tomáš"),
)
_TRADES: Final = {
    "wholesale": ("Grossist", "Trading", "Supply", "Depot"),
    "manufacturing": ("Werke", "Mekaniska", "Industries", "Precision"),
    "retail": ("Handel", "Stores", "Market", "Outdoor"),
    "logistics": ("Logistik", "Freight", "Shipping", "Transport"),
    "software": ("Software", "Digital", "Cloud", "Labs"),
    "healthcare": ("Care", "Klinik", "Medical", "Pharma"),
    "education": ("Academy", "Learning", "Skola", "Institute"),
}
_INDUSTRIES: Final = (*(("wholesale", "manufacturing", "retail", "logistics") * 3), *tuple(_TRADES)[4:])
_COUNTRIES: Final = (*("SE", "NO", "DK", "FI", "DE", "NL") * 3, "FR", "IT", "PL", "ES", "GB", "US", "JP", "BR")
_SIZES: Final = (8, 24, 45, 60, 90, 120, 180, 250, 340, 480, 700, 950, 1400, 2200, 3600, 8000, 21000)

_TITLES: Final = {
    Persona.CHAMPION: (
        *("VP Supply Chain", "Head of Operations", "Director of Logistics", "Chief Operating Officer"),
        *("Head of Purchasing", "Supply Chain Manager", "Director of Planning"),
    ),
    Persona.EVALUATOR: (
        *("Inventory Planner", "Operations Manager", "IT Manager", "Purchasing Manager", "Demand Planner"),
        *("Business Analyst", "Warehouse Manager", "Head of IT"),
    ),
    Persona.SILENT: (
        *("Accountant", "Office Manager", "Sales Representative", "Owner", "Controller", "HR Partner"),
        *("Marketing Manager", "Engineer", "Buyer", "Director of Finance"),
    ),
    Persona.VISITOR: ("Planner",),
    Persona.STUDENT: ("Student", "Master student", "PhD student", "Intern"),
    Persona.COMPETITOR: ("Product Manager", "Market Analyst", "Head of Product"),
}
_UNIVERSITIES: Final = (
    Firm("Universitet i Sund", "sund-universitet.example", "education", "SE", 6200),
    Firm("Hochschule Elbtal", "hs-elbtal.example", "education", "DE", 3100),
    Firm("Tampere Polytechnic", "tampere-poly.example", "education", "FI", 2400),
)
_COMPETITOR: Final = Firm("Stockwise", "stockwise.example", "software", "US", 310)
_PRIVATE_MAIL: Final = "freemail.example"


def people_of(seed: int) -> tuple[Person, ...]:
    """Everybody in the market, in a fixed order for a seed."""
    random = Random(f"company/{seed}")
    firms = _firms(random)
    staff = [(firm, persona) for firm in firms for persona in _staff(random)]
    students = [(random.choice(_UNIVERSITIES), Persona.STUDENT) for _ in range(STUDENTS)]
    rivals = [(_COMPETITOR, Persona.COMPETITOR) for _ in range(COMPETITORS)]
    visitors = [(random.choice(firms), Persona.VISITOR) for _ in range(VISITORS)]
    everybody = [*staff, *students, *rivals, *visitors]
    taken: set[str] = set()
    return tuple(_person(random, number, place, seed=seed, taken=taken) for number, place in enumerate(everybody))


def _firms(random: Random) -> tuple[Firm, ...]:
    names: dict[str, Firm] = {}
    while len(names) < FIRMS:
        industry = random.choice(_INDUSTRIES)
        name = f"{random.choice(_FAMILIES)} {random.choice(_TRADES[industry])}"
        domain = f"{_ascii(name).replace(' ', '-')}.example"
        names.setdefault(domain, Firm(name, domain, industry, random.choice(_COUNTRIES), random.choice(_SIZES)))
    return tuple(names.values())


def _staff(random: Random) -> list[Persona]:
    """Of a firm: hardly anybody pushes for a purchase, some compare, most are merely on a list."""
    champions = [Persona.CHAMPION] * (random.random() < 0.4)
    evaluators = [Persona.EVALUATOR] * random.choice((0, 1, 1, 2))
    silent = [Persona.SILENT] * random.choice((2, 3, 3, 4))
    return [*champions, *evaluators, *silent]


def _person(random: Random, number: int, place: tuple[Firm, Persona], *, seed: int, taken: set[str]) -> Person:
    firm, persona = place
    name, email = _name_and_address(random, firm, persona, taken=taken)
    return Person(
        number=number,
        name=name,
        email=email,
        title=random.choice(_TITLES[persona]),
        firm=firm,
        persona=persona,
        anonymous_id=sha256(f"{seed}/{number}".encode()).hexdigest()[:20],
        hubspot_id=str(70_000_000 + (seed % 1000) * 10_000 + number),
    )


def _name_and_address(random: Random, firm: Firm, persona: Persona, *, taken: set[str]) -> tuple[str, str]:
    private = persona is Persona.SILENT and random.random() < 0.1
    while True:
        given, family = random.choice(_GIVEN), random.choice(_FAMILIES)
        address = f"{_ascii(given)}.{_ascii(family).replace(' ', '')}@{_PRIVATE_MAIL if private else firm.domain}"
        if address not in taken:
            taken.add(address)
            return f"{given} {family}", address


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower().replace("ø", "o"))
    return "".join(letter for letter in plain if letter.isascii() and (letter.isalnum() or letter == " "))
