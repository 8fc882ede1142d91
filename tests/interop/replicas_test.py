"""The short form of scripts/replicas."""

import random
import unittest

import replicas


class ReplicasTest(unittest.TestCase):
    def test_replicas_that_come_and_go_lose_and_double_nothing(self):
        said = []
        try:
            done, n_tries = replicas.run(n_imports=6, n_rows=400, n_faults=6, pace=3,
                                         seed=random.randrange(2**32), say=said.append)
        except AssertionError as error:
            raise AssertionError("\n".join(said)) from error
        self.assertGreater(done, 0)
        self.assertGreater(n_tries, 0, "no import was interrupted")


if __name__ == "__main__":
    unittest.main()
