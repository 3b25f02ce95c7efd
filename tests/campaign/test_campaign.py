"""The short version of the campaign: nothing is wrong, and every step has tried its verbs."""

import os
import tempfile
import unittest

import run
from program import LIBRARY


@unittest.skipUnless(os.path.exists(LIBRARY), "needs TESSERA_NTH_CALL_LIBRARY (built by CMake)")
class Short(unittest.TestCase):

    def test_nothing_is_wrong(self):
        with tempfile.TemporaryDirectory(prefix="tessera_") as folder:
            work = run.campaign(run.arguments(["--short", "--seed", "1", "--minutes", "3", "--folder", folder]))
            print(work.table())
        self.assertEqual(work.cases, [])
        for step in run.STEPS:
            tried = [row["tried"] for (name, _), row in work.rows.items() if name == step]
            self.assertGreater(len(tried), 5, f"{step}: few of its verbs were tried in a minute")


if __name__ == "__main__":
    unittest.main()
