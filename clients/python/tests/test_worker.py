"""Handlers, each in a process of its own that is talked to as Gleaner does."""

import unittest

from .gleaner import Gleaner, wait_until

IMPORT = "import sys, os, time, asyncio, threading\nfrom gleaner_worker import *\n"


def started(source, **offer):
    return Gleaner(IMPORT + source, **offer)


class SingleRows(unittest.TestCase):
    def test_a_row_is_worked_and_what_is_printed_stays_out_of_the_protocol(self):
        source = """
@handler(name="ocr")
def read(row):
    print("working", current().key)
    os.system("echo below")
    return {"total": row["a"] + 1}
run()
"""
        with started(source) as gleaner:
            hello = {"type": "hello", "version": 1, "name": "ocr", "in_flight": 1, "batch": 1}
            self.assertEqual(gleaner.hear(), hello)
            self.assertEqual(gleaner.result(7, {"a": 1}), {"status": "completed", "columns": {"total": 2}})
            gleaner.say({"type": "news"})
            gleaner.say({"type": "shutdown"})
            self.assertEqual(gleaner.child.wait(20), 0)
            self.assertEqual(gleaner.said().split("\n")[:2], ["working k7", "below"])

    def test_outcomes_are_told_apart(self):
        source = """
from decimal import Decimal
import datetime, uuid
def read(row):
    what = row["what"]
    if what == "snooze": snooze(60, "quota", whole_workflow=True)
    if what == "filtered": return Filtered("empty", {"seen": True})
    if what == "fail": fail("gone", retry=False)
    if what == "after": fail("busy", after=datetime.timedelta(seconds=5))
    if what == "raise": {}["missing"]
    if what == "list": return [1]
    if what == "nan": return {"a": float("nan")}
    if what == "object": return {"a": object()}
    if what == "large": return {"a": "x" * (9 << 20)}
    if what == "exit": sys.exit(3)
    if what == "types": return {"a": Decimal("1.10"), "b": datetime.date(2026, 1, 2), "c": uuid.UUID(int=1), "d": b"\\x01"}
run(read, parse_float=Decimal)
"""
        with started(source) as gleaner:
            self.assertEqual(gleaner.hear()["name"], "__main__.read")

            def outcome(what):
                return gleaner.result(len(what), {"what": what})

            snoozed = {"status": "snoozed", "after": 60, "reason": "quota", "whole_workflow": True}
            self.assertEqual(outcome("snooze"), snoozed)
            self.assertEqual(outcome("filtered"), {"status": "filtered", "reason": "empty", "columns": {"seen": True}})
            self.assertEqual(outcome("fail"), {"status": "failed", "error": "gone", "retry": False})
            self.assertEqual(outcome("after"), {"status": "failed", "error": "busy", "after": 5})
            raised = outcome("raise")
            self.assertRegex(raised["error"], r"^KeyError: 'missing' \(.*handlers\.py:\d+ in read\)$")
            self.assertNotIn("retry", raised)
            self.assertEqual((outcome("list")["status"], outcome("list")["retry"]), ("failed", False))
            self.assertIn("cannot be sent", outcome("nan")["error"])
            self.assertIn("object has no form in JSON", outcome("object")["error"])
            self.assertRegex(outcome("large")["error"], r"takes \d+ bytes")
            self.assertIn("sys.exit(3)", outcome("exit")["error"])
            types = {"a": "1.10", "b": "2026-01-02", "c": "00000000-0000-0000-0000-000000000001", "d": "\\x01"}
            self.assertEqual(outcome("types")["columns"], types)
            self.assertEqual(outcome("nothing"), {"status": "completed"})
            self.assertEqual(gleaner.end(), 0)

    def test_large_rows_and_odd_text_come_whole(self):
        source = "run(lambda row: {'bytes': len(row['text']), 'odd': row['odd']})"
        odd = '\n\u2028"\\\U0001f4a9'
        with started(source) as gleaner:
            gleaner.hear()
            result = gleaner.result(0, {"text": "x" * (4 << 20), "odd": odd})
            self.assertEqual(result["columns"], {"bytes": 4 << 20, "odd": odd})
            self.assertEqual(gleaner.end(), 0)

    def test_who_asks_hears_of_a_cancel_though_one_is_worked_at_a_time(self):
        source = """
def read(row):
    progress(step="waiting")
    while not cancelled():
        time.sleep(0.005)
    fail("stopped")
run(read)
"""
        with started(source) as gleaner:
            gleaner.hear()
            gleaner.give((0, {}))
            self.assertEqual(gleaner.hear(), {"type": "progress", "id": 0, "step": "waiting"})
            # Behind the cancel, and heard with it.
            gleaner.say({"type": "cancel", "ids": [0, 99]})
            gleaner.give((1, {}))
            self.assertEqual(gleaner.hear()["results"][0]["error"], "stopped")
            gleaner.hear()
            gleaner.say({"type": "cancel", "ids": [1]})
            self.assertEqual(gleaner.hear()["results"][0]["id"], 1)
            self.assertEqual(gleaner.end(), 0)

    def test_what_is_forked_does_not_hold_the_protocol(self):
        source = """
def read(row):
    if os.fork() == 0:
        os.write(4, b"rubbish")
        time.sleep(60)
    return {}
run(read)
"""
        with started(source) as gleaner:
            gleaner.hear()
            self.assertEqual(gleaner.result(0, {})["status"], "completed")
            self.assertEqual(gleaner.end(), 0)

    def test_what_is_no_handler_says_so(self):
        for source, wanted in [
            ("run()", "there is no handler"),
            ("handler(len)\nhandler(max)\nrun()", "there are 2 handlers"),
            ("os.close(3)\nrun(len)", "gleaner worker check -- "),
        ]:
            with started(source) as gleaner:
                with self.assertRaises(EOFError) as gone:
                    gleaner.hear()
                self.assertIn(wanted, str(gone.exception))
                self.assertEqual(gleaner.child.wait(20), 1)

    def test_another_version_is_refused(self):
        with started("run(len)", version=2) as gleaner:
            with self.assertRaises(EOFError) as gone:
                gleaner.hear()
            self.assertIn("version 2", str(gone.exception))


class ManyAtOnce(unittest.TestCase):
    THREADS = """
@handler
def read(row):
    if row["wait"]:
        while not cancelled():
            time.sleep(0.005)
        fail(f"stopped in {threading.current_thread().name}")
    return {"key": current().key}
run()
"""
    TASKS = """
@handler
async def read(row):
    if row["wait"]:
        await asyncio.sleep(60)
    return {"key": current().key}
run()
"""

    def several(self, source):
        with started(source, in_flight=3) as gleaner:
            self.assertEqual(gleaner.hear()["in_flight"], 3)
            gleaner.give((0, {"wait": True}))
            self.assertEqual(gleaner.result(1, {"wait": False})["columns"], {"key": "k1"})
            self.assertEqual(gleaner.result(2, {"wait": False})["columns"], {"key": "k2"})
            gleaner.say({"type": "cancel", "ids": [0]})
            self.assertIn("stopped", gleaner.hear()["results"][0]["error"])
            gleaner.give((3, {"wait": False}))
            gleaner.say({"type": "shutdown"})
            # What is in hand is finished first.
            self.assertEqual(gleaner.hear()["results"][0]["id"], 3)
            self.assertEqual(gleaner.child.wait(20), 0)

    def test_in_threads(self):
        self.several(self.THREADS)

    def test_in_tasks(self):
        self.several(self.TASKS)

    def test_a_handler_may_take_fewer(self):
        with started("run(len, in_flight=2)", in_flight=8) as gleaner:
            self.assertEqual(gleaner.hear()["in_flight"], 2)


class Batches(unittest.TestCase):
    def test_a_batch_is_answered_row_by_row(self):
        for kind in ("def", "async def"):
            source = f"""
@handler(batch=50)
{kind} read(rows):
    if rows[0]["a"] == 0: raise ValueError("all")
    if len(rows) == 1: return []
    return [Filtered("big") if row["a"] > 2 else ValueError("two") if row["a"] > 1 else {{"b": row["a"]}} for row in rows]
run()
"""
            with self.subTest(kind), started(source, batch=100) as gleaner:
                self.assertEqual(gleaner.hear()["batch"], 50)
                gleaner.give((0, {"a": 1}), (1, {"a": 2}), (2, {"a": 3}))
                results = gleaner.hear()["results"]
                self.assertEqual(results[0], {"id": 0, "status": "completed", "columns": {"b": 1}})
                self.assertEqual(results[1]["error"], "ValueError: two")
                self.assertEqual(results[2], {"id": 2, "status": "filtered", "reason": "big"})
                self.assertIn("0 results for 1 rows", gleaner.result(3, {"a": 1})["error"])
                gleaner.give((4, {"a": 0}), (5, {"a": 0}))
                errors = [result["error"] for result in gleaner.hear()["results"]]
                self.assertTrue(all(error.startswith("ValueError: all") for error in errors), errors)
                self.assertEqual(gleaner.end(), 0)

    def test_one_answer_that_cannot_be_sent_spoils_no_other(self):
        source = "run(lambda rows: [{'a': object() if row['odd'] else 1} for row in rows], batch=10)"
        with started(source, batch=10) as gleaner:
            gleaner.hear()
            gleaner.give((0, {"odd": False}), (1, {"odd": True}))
            results = [gleaner.hear()["results"][0], gleaner.hear()["results"][0]]
            self.assertEqual([result["status"] for result in results], ["completed", "failed"])
            wait_until("it is idle", lambda: gleaner.child.poll() is None)
            self.assertEqual(gleaner.end(), 0)


class Functions(unittest.TestCase):
    def test_a_handler_is_called_as_the_function_that_it_was(self):
        from gleaner_worker import Fail, handler, progress

        @handler
        def read(row):
            progress(1, 2)
            return {"b": row["a"]}

        self.assertEqual(read({"a": 1}), {"b": 1})
        with self.assertRaises(ValueError):
            Fail("x", retry=False, after=1)
        with self.assertRaises(ValueError):
            handler(batch=0)(len)


if __name__ == "__main__":
    unittest.main()
