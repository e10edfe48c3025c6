#!/usr/bin/env python3
"""Fills the databases of a stopped installation with copies of missions that have run in it.

usage: fill-missions.py DATA MISSIONS

DATA is the data folder of `buddy up`; when it is done, MISSIONS missions are stored. Every table that holds rows of
missions grows alike: what one mission has left there is copied, with ids and numbers of its own. The copies are older
than the missions they were made of. For benchmarks only: hashes and sums over several rows are not made anew.
"""
import itertools
import pathlib
import sqlite3
import sys
import uuid

# How many missions are copied from.
TEMPLATES = 100
# Tables with a row for each message, which names no mission.
UNNAMED = ["inbox"]
# What counts on from the last row of another table, by the table that it is in.
COUNTERS = {
    "newest_position": "UPDATE newest_position SET position = (SELECT max(position) FROM events)",
    "audit_head": """
        UPDATE audit_head SET (number, hash) = (SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1)
        """,
}


def main() -> None:
    data, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    files = sorted(data.rglob("*.sqlite3")) or sorted(data.rglob("*.sqlite"))
    execution = next(file for file in files if "execution" in file.name)
    with sqlite3.connect(execution) as database:
        stored = database.execute("SELECT count(*) FROM missions").fetchone()[0]
        templates = [row[0] for row in database.execute(
            "SELECT id FROM missions ORDER BY id DESC LIMIT ?", (TEMPLATES,))]
    # Old, of the same length as those of real missions, and rising, as theirs do.
    copies = [f"01900000-0000-7000-8000-{number:012x}" for number in range(stored, wanted)]
    for file in files:
        fill(file, templates, copies, stored)


def fill(file: pathlib.Path, templates: list[str], copies: list[str], stored: int) -> None:
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -200000")
    database.execute("BEGIN")
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = database.execute(f"PRAGMA table_info({table})").fetchall()
        names = [column[1] for column in columns]
        if "mission_id" in names:
            owner = "mission_id"
        elif table == "missions":
            owner = "id"
        elif table in UNNAMED:
            owner = None
        else:
            continue
        count = copy(database, table, columns, owner, templates, copies, stored)
        print(f"{file.name}: {count} rows of {table} added")
    for table, statement in COUNTERS.items():
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
            database.execute(statement)
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def copy(database, table, columns, owner, templates, copies, stored) -> int:
    names = [column[1] for column in columns]
    unique = unique_alone(database, table, columns)
    # A number that SQLite gives by itself is left to it.
    automatic = {c[1] for c in columns if c[2] == "INTEGER" and c[5] and len([d for d in columns if d[5]]) == 1}
    kept = [name for name in names if name not in automatic]
    rows = [rows_of(database, table, kept, owner, template, stored) for template in templates]
    numbered = {name: itertools.count(highest(database, table, name) + 1)
                for name, kind in ((c[1], c[2]) for c in columns) if name in unique and kind.endswith("INT")}
    statement = f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({', '.join('?' * len(kept))})"
    added = 0

    def made():
        nonlocal added
        for number, mission in enumerate(copies):
            template = templates[number % len(templates)]
            for row in rows[number % len(templates)]:
                added += 1
                yield tuple(
                    next(numbered[name]) if name in numbered
                    else str(uuid.UUID(int=uuid_base(number, added))) if name in unique and value != template
                    else renamed(value, template, mission)
                    for name, value in zip(kept, row))

    database.executemany(statement, made())
    return added


def uuid_base(number: int, added: int) -> int:
    return (0x0190 << 112) | (number << 40) | added


def renamed(value, template: str, mission: str):
    """The value with the copy's id: of the same length, so that what is encoded around it stays as it is."""
    if isinstance(value, bytes):
        return value.replace(template.encode(), mission.encode())
    return mission if value == template else value


def rows_of(database, table, kept, owner, template, stored) -> list[tuple]:
    columns = ", ".join(kept)
    if owner is not None:
        return database.execute(f"SELECT {columns} FROM {table} WHERE {owner} = ?", (template,)).fetchall()
    # As many as there are for each mission.
    share = round(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] / stored)
    return database.execute(f"SELECT {columns} FROM {table} LIMIT ?", (share,)).fetchall()


def unique_alone(database, table, columns) -> set[str]:
    """The columns of which no value may come twice."""
    keys = [column[1] for column in columns if column[5]]
    unique = {keys[0]} if len(keys) == 1 else set()
    for index in database.execute(f"PRAGMA index_list({table})").fetchall():
        members = [row[2] for row in database.execute(f"PRAGMA index_info({index[1]})").fetchall()]
        if index[2] and len(members) == 1:
            unique.add(members[0])
    return unique


def highest(database, table, name) -> int:
    return database.execute(f"SELECT coalesce(max({name}), 0) FROM {table}").fetchone()[0]


main()
