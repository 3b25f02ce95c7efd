#include "pipeline/infer/inference_volumes.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;

/// The raw volumes are in a folder. Paths in the experiments are relative to it.
class InferenceVolumes : public ::testing::Test {
 protected:
  InferenceVolumes() : before_(fs::current_path()) { fs::current_path(folder_.path()); }
  ~InferenceVolumes() override { fs::current_path(before_); }

  /// Volumes are found by file name only; the files are not opened.
  static void make(const std::string& file) {
    if (fs::path(file).has_parent_path()) fs::create_directories(fs::path(file).parent_path());
    std::ofstream(file) << "raw";
  }
  static ExperimentConfig experiment(const std::string& raw, const std::string& output,
                                     const std::string& rest = "") {
    return parse_experiment(
        fmt::format("experiment: e\ninfer:\n  raw: \"{}\"\n  output: \"{}\"\n{}", raw, output, rest),
        "e.yaml", {}, {.inference = true});
  }
  static std::vector<std::string> names(const std::vector<InferenceVolume>& volumes) {
    std::vector<std::string> names;
    for (const InferenceVolume& one : volumes)
      names.push_back(one.name);
    return names;
  }

  testing::TemporaryFolder folder_;
  fs::path before_;
};

TEST_F(InferenceVolumes, OneVolumeWithoutWildcardsHasNoOverrides) {
  const auto volumes = inference_volumes(experiment("nowhere.h5:/raw", "out[1].h5:/p"));
  ASSERT_EQ(volumes.size(), 1U);
  EXPECT_EQ(volumes[0].name, "e");
  EXPECT_THAT(volumes[0].overrides, IsEmpty());
}

TEST_F(InferenceVolumes, EachMatchBecomesAnExperiment) {
  for (const char* file : {"s/b.h5", "s/a.h5", "s/10.h5"})
    make(file);
  const ExperimentConfig whole = experiment("s/*.h5:/v/raw", "p/*.h5:/v/p",
                                            "  checkpoint: best\n  skip: {mask: \"m/*.h5:/m\"}\n  class: 0\n"
                                            "evaluate: {labels: \"s/*.h5:/v/labels\", sections: [1, 2]}\n");
  const auto volumes = inference_volumes(whole);
  EXPECT_THAT(names(volumes), ElementsAre("10", "a", "b"));
  const ExperimentConfig a = experiment_of(whole, volumes[1], {.inference = true});
  EXPECT_EQ(a.infer.raw->text(), "s/a.h5:/v/raw");
  EXPECT_EQ(a.infer.output->text(), "p/a.h5:/v/p");
  EXPECT_EQ(a.infer.skip_mask->text(), "m/a.h5:/m");
  EXPECT_EQ(a.evaluate.prediction->text(), "p/a.h5:/v/p");
  EXPECT_EQ(a.evaluate.labels->text(), "s/a.h5:/v/labels");
  EXPECT_EQ(a.evaluate.sections->end, 2);
  EXPECT_EQ(a.run_folder, "runs/e/volumes/a");
  EXPECT_EQ(a.infer.checkpoint, "runs/e/checkpoints/best.h5");
  EXPECT_EQ(a.infer.output_class, 0);
  EXPECT_EQ(a.name, "e");
  EXPECT_THAT(inference_volumes(a)[0].overrides, IsEmpty())
      << "the experiment of one volume has no overrides";
}

TEST_F(InferenceVolumes, EachVolumeHasItsSegmentation) {
  for (const char* file : {"s/b.h5", "s/a.h5"})
    make(file);
  const std::string base = "  checkpoint: latest\n";
  const auto own = [](const ExperimentConfig& whole, std::size_t at) {
    return experiment_of(whole, segmentation_volumes(whole).at(at), {.segmentation = true});
  };
  const ExperimentConfig defaults =
      experiment("s/*.h5:/raw", "p/*.h5:/p", base + "segment: {threshold: 0.3}\n");
  const ExperimentConfig b = own(defaults, 1);
  EXPECT_EQ(b.segment.prediction->text(), "p/b.h5:/p");
  EXPECT_EQ(b.segment.output->text(), "runs/e/volumes/b/segmentation.h5:/volumes/labels/neuron_ids");
  EXPECT_EQ(b.segment.threshold, 0.3);
  const ExperimentConfig named =
      experiment("s/*.h5:/raw", "p/*.h5:/p",
                 base + "segment: {prediction: \"p/*.h5:/p\", output: \"o/*.h5:/o\", mask: \"m/*.h5:/m\"}\n");
  EXPECT_EQ(own(named, 0).segment.prediction->text(), "p/a.h5:/p");
  EXPECT_EQ(own(named, 0).segment.output->text(), "o/a.h5:/o");
  EXPECT_EQ(own(named, 0).segment.mask->text(), "m/a.h5:/m");
  const ExperimentConfig none = experiment("s/*.h5:/raw", "p/*.h5:/p", base);
  EXPECT_FALSE(experiment_of(none, inference_volumes(none).at(0), {}).segment.wanted);
  for (const auto& [output, words] :
       {std::pair("o.h5:/o", "would both be in o.h5"), {"o/**.h5:/o", "segment.output: has 2 wildcards"}}) {
    const ExperimentConfig wrong =
        experiment("s/*.h5:/raw", "p/*.h5:/p", base + "segment: {output: \"" + output + "\"}\n");
    EXPECT_THAT(message_of([&] { segmentation_volumes(wrong); }), HasSubstr(words));
  }
}

TEST_F(InferenceVolumes, PredictionsAloneCanBeSegmented) {
  for (const char* file : {"p/b.h5", "p/a.h5"})
    make(file);
  const ExperimentConfig whole = parse_experiment(
      "experiment: e\nsegment: {prediction: \"p/*.h5:/p\"}\nevaluate: {labels: \"l/*.h5:/l\"}\n", "e.yaml",
      {}, {.segmentation = true});
  EXPECT_THAT(names(segmentation_volumes(whole)), ElementsAre("a", "b"));
  const ExperimentConfig b = experiment_of(whole, segmentation_volumes(whole)[1], {.segmentation = true});
  EXPECT_EQ(b.segment.prediction->text(), "p/b.h5:/p");
  EXPECT_EQ(b.segment.output->text(), "runs/e/volumes/b/segmentation.h5:/volumes/labels/neuron_ids");
  EXPECT_EQ(b.evaluate.labels->text(), "l/b.h5:/l");
  EXPECT_THAT(message_of([] {
                segmentation_volumes(parse_experiment("experiment: e\nsegment: {prediction: \"q/*.h5:/p\"}\n",
                                                      "e.yaml", {}, {.segmentation = true}));
              }),
              HasSubstr("segment.prediction"));
}

TEST_F(InferenceVolumes, SharedFilesAreNotFilledIn) {
  make("s/a.h5");
  const ExperimentConfig whole = experiment("s/*.h5:/raw", "p/*.h5:/p",
                                            "  checkpoint: latest\n  skip: {mask: \"mask.h5:/m\"}\n"
                                            "evaluate: {labels: \"l.h5:/l\", prediction: \"q.h5:/p\"}\n");
  const auto volumes = inference_volumes(whole);
  const ExperimentConfig a = experiment_of(whole, volumes.at(0), {.inference = true});
  EXPECT_EQ(a.infer.skip_mask->text(), "mask.h5:/m");
  EXPECT_EQ(a.evaluate.labels->text(), "l.h5:/l");
  EXPECT_EQ(a.evaluate.prediction->text(), "q.h5:/p");
  EXPECT_EQ(a.infer.checkpoint, "runs/e/checkpoints");
}

TEST_F(InferenceVolumes, NamesAreSafeAndUnique) {
  for (const char* file : {"s/a b.h5", "s/a_b.h5", "s/a:b.h5", "s/-x.h5", "s/\xc3\xbc.h5"})
    make(file);
  make("s/" + std::string(240, 'n') + ".h5");
  const auto volumes = inference_volumes(experiment("s/*.h5:/raw", "p/*.h5:/p"));
  EXPECT_THAT(names(volumes), ElementsAre("_x", "a_b", "a_b_2", "a_b_3", std::string(100, 'n'), "__"));
  make("t/.h5");
  EXPECT_THAT(message_of([] { inference_volumes(experiment("t/*h5:/raw", "p/*h5:/p")); }),
              HasSubstr("no file matches"))
      << "hidden files do not match";
  make("t/xh5");
  EXPECT_THAT(names(inference_volumes(experiment("t/x*h5:/raw", "p/*h5:/p"))), ElementsAre("volume"));
}

TEST_F(InferenceVolumes, KeepsUnusualNames) {
  const std::vector<std::string> odd{"a'b", "a\"b", "a: b", "#a",   "a #b", "{a", "[a",  "a\\b", "*",
                                     " a ", "a\nb", "12",   "\xff", "null", "~",  "a=b", "%",    "?"};
  for (const std::string& one : odd)
    make("s/x" + one + ".h5");
  const ExperimentConfig whole = experiment("s/*.h5:/raw", "p/*:/p");
  const auto volumes = inference_volumes(whole);
  std::set<std::string> outputs;
  for (const InferenceVolume& volume : volumes) {
    const ExperimentConfig one = experiment_of(whole, volume, {.inference = true});
    EXPECT_TRUE(fs::exists(one.infer.raw->file)) << one.infer.raw->text();
    outputs.insert(one.infer.output->file.string());
    EXPECT_THAT(inference_volumes(one)[0].overrides, IsEmpty()) << one.infer.raw->text();
  }
  EXPECT_EQ(volumes.size(), odd.size());
  for (const std::string& one : odd)
    EXPECT_TRUE(outputs.contains("p/x" + one)) << one;
}

TEST_F(InferenceVolumes, AnExistingFileTakesPrecedenceOverAWildcard) {
  make("s[1].h5");
  make("s1.h5");
  const auto volumes = inference_volumes(experiment("s[1].h5:/raw", "out.h5:/p"));
  ASSERT_EQ(volumes.size(), 1U);
  EXPECT_THAT(volumes[0].overrides, IsEmpty());
}

TEST_F(InferenceVolumes, ResultsBesideTheRawVolumesAreIgnored) {
  for (const char* file : {"a.h5", "b.h5", "pred_a.h5", "pred_pred_a.h5"})
    make(file);
  EXPECT_THAT(names(inference_volumes(experiment("*.h5:/raw", "pred_*.h5:/p"))), ElementsAre("a", "b"));
  EXPECT_THAT(names(inference_volumes(experiment("*.h5:/raw", "./pred_*.h5:/p"))), ElementsAre("a", "b"));
}

TEST_F(InferenceVolumes, RejectsIncompatibleWildcards) {
  for (const char* file : {"a1.h5", "a2.h5", "b1.h5"})
    make(file);
  const auto error_of = [](const std::string& raw, const std::string& output, const std::string& rest = "") {
    return message_of([&] { inference_volumes(experiment(raw, output, rest)); });
  };
  EXPECT_THAT(error_of("q*.h5:/raw", "p*.h5:/p"), AllOf(HasSubstr("infer.raw: no file matches q*.h5")));
  EXPECT_THAT(error_of("a?.h5:/raw", "p.h5:/p"), HasSubstr("infer.output: has 0 wildcards, infer.raw has 1"));
  EXPECT_THAT(error_of("a1.h5:/raw", "p*.h5:/p"),
              HasSubstr("infer.output: has 1 wildcards, infer.raw has 0"));
  EXPECT_THAT(error_of("a?.h5:/raw", "p?.h5:/p", "  skip: {mask: \"m?_?.h5:/m\"}\n"),
              HasSubstr("infer.skip.mask: has 2 wildcards"));
  EXPECT_THAT(error_of("a?.h5:/raw", "p?.h5:/p", "evaluate: {labels: \"l?_?.h5:/m\"}\n"),
              HasSubstr("evaluate.labels: has 2 wildcards"));
  EXPECT_THAT(
      error_of("a?.h5:/raw", "p.h5:/p?"),
      AllOf(HasSubstr("infer.output: the results of a1.h5:/raw and a2.h5:/raw would both be in p.h5")));
  EXPECT_EQ(error_of("??.h5:/raw", "p/??.h5:/p"), "no error");
}

TEST_F(InferenceVolumes, EveryRankGetsTheSameVolumes) {
  for (const char* file : {"s/b.h5", "s/a.h5"})
    make(file);
  const ExperimentConfig whole = experiment("s/*.h5:/raw", "p/*.h5:/p");
  const auto here = inference_volumes(whole),
             told = volumes_for(VolumeUse::inference, whole, Communicator::alone());
  ASSERT_EQ(told.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(told[i].name, here[i].name);
    EXPECT_EQ(told[i].overrides, here[i].overrides);
  }
}

}  // namespace
}  // namespace tessera
