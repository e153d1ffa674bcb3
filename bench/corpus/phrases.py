"""What software writes on an X-ray, with invented names."""

from __future__ import annotations

import numpy as np

MARKERS = ("L", "R", "AP", "PA", "SUPINE", "ERECT", "PORTABLE")
"""Words that may stand on a clean image: they name nobody."""
FIRST_NAMES = (
    "Ada,Bruno,Zoë,Jürgen,Åsa,Łukasz,José,Márta,Noël,Çınar,Siân,François,Mary Ann,Nguyen,Olga"
)
LAST_NAMES = (
    "Ashgrove,Birkwood,Müller-Lüdenscheidt,O'Hara,Nuñez,Żak,Öberg,de la Cruz,van den Berg,Çelik,"
    "Kovács,Dvořák,Inglemoor,Smith,Wu,Li,Garcia,Papadopoulos,Fitzwilliam,Hartwick"
)
HOSPITALS = (
    "St. Mary's Hospital,City Clinic,Klinikum Süd,Hôpital Nord,General Hospital,Ospedale Est"
)


def line(rng: np.random.Generator) -> str:
    """Return a line as software writes it on an X-ray: a name, a date, a number or a hospital."""
    name = f"{rng.choice(FIRST_NAMES.split(','))} {rng.choice(LAST_NAMES.split(','))}"
    year, month, day = rng.integers(1930, 2024), rng.integers(1, 13), rng.integers(1, 29)
    date = rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day:02}.{month:02}.{year}",
            f"{month:02}/{day:02}/{year}",
            f"{year}{month:02}{day:02}",
        ]
    )
    number = int(rng.integers(10**3, 10**8))
    surname, _, given = name[::-1].partition(" ")
    forms = (
        f"name:{name}",
        name,
        f"{surname[::-1].upper()}^{given[::-1].upper()}",
        f"id:{number}",
        f"ID {number}",
        f"d.o.b.:{date}",
        f"*{date}",
        f"{date} {rng.integers(24):02}:{rng.integers(60):02}",
        f"MRN {number}",
        f"{rng.choice(HOSPITALS.split(','))}",
        f"{name}, {date}",
    )
    return str(rng.choice(forms))
