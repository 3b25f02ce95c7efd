"""Reports in a real browser: no errors, no requests, all pictures shown; light, dark and in print."""

import base64
import unittest

import browser
from test_report import ReportCase

# Mean grey value and standard deviation of a PNG's pixels, computed in the page.
PIXELS = """(async () => {
  const image = new Image();
  image.src = 'data:image/png;base64,%s';
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data;
  let sum = 0, squares = 0;
  for (let i = 0; i < data.length; i += 4) { sum += data[i + 1]; squares += data[i + 1] ** 2; }
  const mean = sum / (data.length / 4);
  return [mean, Math.sqrt(squares / (data.length / 4) - mean * mean)];
})()"""


@unittest.skipUnless(browser.AVAILABLE, "no chromium with chromedriver and Selenium (scripts/install-dependencies --tests)")
class InABrowser(ReportCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.done(cls.folder, ["report", "runs/one"])
        cls.done(cls.folder, ["report", "runs/one", "runs/two"])
        cls.done(cls.folder, ["report", "runs/half"])
        objects = cls.config("objects", {"data": {"labels": "stack.h5:/volumes/labels/instances", "label_kind": "instances"},
                                         "infer": {"output": None, "raw": None}, "segment": {"prediction": "stack.h5:/volumes/raw", "mode": "volume", "fragment_size": 30}})
        cls.done(cls.folder, ["segment", objects])
        cls.done(cls.folder, ["evaluate", "--prediction", "runs/objects/segmentation.h5:/volumes/labels/neuron_ids", "--labels",
                              "stack.h5:/volumes/labels/instances", "--json", "runs/objects/evaluation_objects.json"])
        cls.done(cls.folder, ["report", "runs/objects"])
        cls.files = [cls.run_folder / "report.html", cls.folder / "compare_one_two.html", cls.folder / "runs/half/report.html",
                     cls.folder / "runs/objects/report.html"]
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def test_opens_without_complaint_or_request(self):
        for file in self.files:
            with self.subTest(file=file.name):
                page = self.browser.open(file)
                self.assertEqual(page.complaints(), [])
                self.assertEqual(page.requests(), [file.resolve().as_uri()])
                widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
                self.assertEqual(len(widths), file.read_text().count("<img "))
                self.assertTrue(all(width >= 96 for width in widths), widths)
                self.assertGreater(page.evaluate("document.querySelectorAll('svg').length"), 2)

    def test_a_complaint_would_be_heard(self):
        bad = self.folder / "bad.html"
        bad.write_text(self.files[0].read_text().replace("</main>", "<img src='nowhere.png'><script>x()</script></main>"))
        page = self.browser.open(bad)
        self.assertGreaterEqual(len(page.complaints()), 2, "a foreign script and a picture from elsewhere are forbidden")

    def test_light_dark_and_paper(self):
        for file in self.files:
            with self.subTest(file=file.name):
                means = {}
                for dark in (False, True):
                    page = self.browser.open(file, dark=dark)
                    shot = page.screenshot(clip={"x": 0, "y": 0, "width": 1280, "height": 420})
                    means[dark], deviation = page.evaluate(PIXELS % base64.b64encode(shot).decode())
                    self.assertGreater(deviation, 3, "blank")
                self.assertGreater(means[False], 200)
                self.assertLess(means[True], 70)
                self.assertTrue(page.pdf().startswith(b"%PDF"))

    def test_fits_a_laptop_and_a_telephone(self):
        for width in (1400, 1280, 390):
            for file in self.files:
                page = self.browser.open(file, width=width)
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width, f"{file.name} at {width}")

    def test_plots_keep_their_words_inside(self):
        page = self.browser.open(self.files[0])
        outside = page.evaluate("""[...document.querySelectorAll('svg text')].filter(text => {
          const box = text.getBoundingClientRect(), frame = text.ownerSVGElement.getBoundingClientRect();
          return box.left < frame.left - 3 || box.right > frame.right + 3 ||
                 box.top < frame.top - 3 || box.bottom > frame.bottom + 3;
        }).map(text => text.textContent)""")
        self.assertEqual(outside, [])

    def test_layers_are_switched_without_a_script(self):
        page = self.browser.open(self.files[0])
        shown = """['errors', 'labels'].map(name => getComputedStyle(document.querySelector('.viewer .' + name)).visibility)"""
        press = """document.querySelector('.viewer .%s').click()"""
        self.assertEqual(page.evaluate(shown), ["visible", "hidden"])
        page.evaluate(press % "show-errors")
        page.evaluate(press % "show-labels")
        self.assertEqual(page.evaluate(shown), ["hidden", "visible"])
        page.evaluate(press % "show-probability")
        self.assertEqual(page.evaluate(shown), ["hidden", "hidden"])
        # The layers of a stack cover each other, and full resolution shows a pixel of the section as one of the screen.
        boxes = """[...document.querySelectorAll('.viewer .stack')].map(stack => [...stack.children].map(
            image => [image.getBoundingClientRect().left, image.getBoundingClientRect().top, image.getBoundingClientRect().width]))"""
        for stack in page.evaluate(boxes):
            self.assertEqual(stack[0], stack[1])
        page.evaluate(press % "full-size")
        self.assertEqual({image[2] for image in page.evaluate(boxes)[0]}, {96})
        self.assertEqual(page.complaints(), [])

    def test_headings_sort(self):
        page = self.browser.open(self.files[0])
        column = """[...document.querySelectorAll('#sections table.sortable tbody tr')].map(row => row.cells[1].textContent)"""
        press = """document.querySelectorAll('#sections table.sortable th button')[1].click()"""
        values = page.evaluate(column)
        self.assertEqual(len(values), 2)
        page.evaluate(press)
        self.assertEqual(page.evaluate(column), sorted(values))
        page.evaluate(press)
        self.assertEqual(page.evaluate(column), sorted(values, reverse=True))
        self.assertEqual(page.complaints(), [])


if __name__ == "__main__":
    unittest.main()
