#include "pipeline/config/image_input.h"

#include <gtest/gtest.h>

#include "pipeline/config/experiment.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

ExperimentConfig parsed_images(const std::string& data, const ConfigNeeds& needs = {}) {
  return parse_experiment("experiment: e\n" + data, "e.yaml", {}, needs);
}

TEST(ImageInput, NamesOfImages) {
  for (const char* images :
       {"stack.tif", "a/STACK.TIFF", "one.png", "sections", "a.b/sections", "my.sections/"})
    EXPECT_TRUE(names_images(images)) << images;
  for (const char* other : {"", "em.h5", "em.h5:/raw", "stack.tif:/raw", "em.zarr", "em.hdf"})
    EXPECT_FALSE(names_images(other)) << other;
}

TEST(ImageInput, StandsForADatasetInTheRunFolder) {
  const ExperimentConfig config = parsed_images(
      "data: {raw: ./a/stack.tif, labels: labels/, resolution: [50, 4, 4]}\nevaluate: {labels: labels}\n");
  ASSERT_EQ(config.images.all.size(), 2U);
  EXPECT_EQ(config.images.all[0].key, "data.raw");
  EXPECT_EQ(config.images.all[0].images, "a/stack.tif");
  EXPECT_EQ(config.images.resolution_nm, (std::vector<double>{50, 4, 4}));
  EXPECT_EQ(config.data.raw->path, "/volumes/raw");
  EXPECT_EQ(config.data.raw->file.parent_path(), "runs/e/imported");
  EXPECT_EQ(config.infer.raw->text(), config.data.raw->text());
  EXPECT_EQ(config.evaluate.labels->text(), config.data.labels->text())
      << "the same folder, with and without a slash";
  EXPECT_EQ(config.images.source_of(*config.data.labels)->images, "labels");
  // The resolved experiment names the images, so that a job imports them as well.
  const ExperimentConfig again = parse_experiment(config.resolved_yaml, "again.yaml", {}, {});
  EXPECT_EQ(again.resolved_yaml, config.resolved_yaml);
  EXPECT_EQ(again.data.raw->text(), config.data.raw->text());
  // Grey values and labels of one file are two imports.
  EXPECT_EQ(parsed_images("data: {raw: a.tif, labels: a.tif}\n").images.all.size(), 2U);
  EXPECT_EQ(parsed_images("import_folder: shared\ndata: {raw: a.tif}\n").data.raw->file.parent_path(),
            "shared");
}

TEST(ImageInput, RejectsWildcards) {
  const std::string message = tessera::testing::message_of([] { parsed_images("data: {raw: a*.tif}\n"); });
  EXPECT_NE(message.find("e.yaml:2:8: data.raw: wildcards stand for HDF5 files only"), std::string::npos)
      << message;
}

TEST(DefaultOutput, IsInTheRunFolder) {
  const std::string raw = "infer: {raw: a.h5:/r";
  const auto output = [&](const std::string& rest) {
    return parsed_images(raw + rest + "}\n", {.inference = true}).infer.output->text();
  };
  EXPECT_EQ(output(""), "runs/e/prediction.h5:/volumes/predictions/interior");
  EXPECT_EQ(output(", class: 0"), "runs/e/prediction.h5:/volumes/predictions/membrane");
  EXPECT_EQ(output(", classes: [0, 1]"), "runs/e/prediction.h5:/volumes/predictions/probabilities");
  EXPECT_EQ(output(", write: labels"), "runs/e/prediction.h5:/volumes/predictions/classes");
  EXPECT_EQ(output(", output: o.h5:/p"), "o.h5:/p");
  EXPECT_FALSE(parsed_images("infer: {raw: '*.h5:/r'}\n", {.inference = true}).infer.output)
      << "each volume has its own";
  EXPECT_FALSE(parsed_images("data: {}\n").infer.output) << "nothing is predicted";
  EXPECT_EQ(parsed_images(raw + "}\n").evaluate.prediction->text(),
            "runs/e/prediction.h5:/volumes/predictions/interior");
}

}  // namespace
}  // namespace tessera
