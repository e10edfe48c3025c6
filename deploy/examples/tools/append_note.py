"""Appends a note to a file. A tool with side effects: it asks first, and by the idempotency key it appends only once,
however often it is called for the same step."""
import json
import os
import sys


def say(**line):
    print(json.dumps(line), flush=True)


def main():
    call = json.load(sys.stdin)
    path = os.environ.get("BUDDY_NOTES_FILE")
    if not path:
        say(error={"code": "NOT_CONFIGURED", "message": "Set BUDDY_NOTES_FILE for the execution service."})
        return
    note = call["parameters"].get("note") or call["objective"]
    agreed = call["answers"].get("append")
    if agreed is None:
        say(ask={"id": "append", "prompt": f"Append this note to {path}: {note[:200]}?", "kind": "YES_NO"})
        return
    if not agreed:
        say(text="Nothing was written.")
        return
    mark = f"[{call['idempotencyKey']}]"
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        if not any(line.startswith(mark) for line in file):
            # One write: half a note is worse than none.
            file.write(f"{mark} {note}\n")
    say(text=f"Noted in {path}.")


main()
