"""Counts the words of the inputs. A tool without side effects: it may be stopped at any moment, and run again."""
import collections
import csv
import json
import re
import sys


def say(**line):
    print(json.dumps(line), flush=True)


def main():
    call = json.load(sys.stdin)
    if not call["inputs"]:
        say(error={"code": "MISSING_INPUT", "message": "There is no text to count; attach a file."})
        return
    words = collections.Counter()
    for number, given in enumerate(call["inputs"]):
        say(progress=number / len(call["inputs"]), message=f"counting {given['name']}")
        with open(given["path"], encoding="utf-8", errors="replace") as file:
            for line in file:
                words.update(re.findall(r"\w+", line.lower()))
    top = words.most_common(int(call["parameters"].get("top", "10")))
    say(text=f"{words.total()} words, {len(words)} different; the commonest: " + ", ".join(word for word, _ in top))
    # Relative paths are in the call's own folder, where the program is started.
    with open("words.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("word", "count"), *words.most_common()])
    say(artifact={"name": "words.csv", "mediaType": "text/csv", "path": "words.csv"})


main()
