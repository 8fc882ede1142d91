"""What the Dockerfile shares with other files."""

import re
import tomllib
import unittest

from rendered import ROOT, find, manifests, pods

DOCKERFILE = (ROOT / "Dockerfile").read_text()


class Versions(unittest.TestCase):
    """Pinned in one place, named in another."""

    def test_the_compiler_is_the_toolchain_s(self):
        channel = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
        images = re.findall(r"^FROM docker\.io/library/rust:([0-9.]+)-", DOCKERFILE, re.M)
        self.assertEqual(images, [channel])

    def test_the_bill_of_materials_is_made_by_one_version(self):
        pinned = re.search(r"^cyclonedx=(.*)$", (ROOT / "scripts/image-files").read_text(), re.M)[1]
        self.assertIn(f" {pinned}\n", DOCKERFILE)

    def test_the_image_is_of_this_version(self):
        version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
        self.assertIn(f"ARG VERSION={version}\n", DOCKERFILE)
        for pod, template in pods(manifests()["postgres"]).items():
            with self.subTest(pod):
                image = template["spec"]["containers"][0]["image"]
                self.assertEqual(image, f"registry.example.com/rowlift:{version}")


class Agreement(unittest.TestCase):
    """What the image says and the manifests take for granted."""

    def test_user_ports_and_spool_are_those_of_the_deployment(self):
        objects = manifests()["postgres"]
        spec = pods(objects)["rowlift"]["spec"]
        user = spec["securityContext"]["runAsUser"]
        self.assertIn(f"\nUSER {user}:{user}\n", DOCKERFILE)
        ports = " ".join(str(it["containerPort"]) for it in spec["containers"][0]["ports"])
        self.assertIn(f"\nEXPOSE {ports}\n", DOCKERFILE)
        spool = find(objects, "ConfigMap", "rowlift-env")["data"]["ROWLIFT_SPOOL_DIR"]
        self.assertIn(f"ENV ROWLIFT_SPOOL_DIR={spool} ", DOCKERFILE)
        self.assertIn(f'"$dir/root{spool}"', (ROOT / "scripts/image-files").read_text())


if __name__ == "__main__":
    unittest.main()
