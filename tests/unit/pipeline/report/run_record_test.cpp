#include "pipeline/report/run_record.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/images/png.h"
#include "pipeline/report/compare_page.h"
#include "pipeline/report/curves.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/named_scores.h"
#include "pipeline/report/report_page.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

constexpr const char* kHeader =
    "iteration,epoch,loss,pixel_error,learning_rate,elapsed_s,validation_pixel_error,best\n";
constexpr const char* kEvaluation =
    R"({"kind": "probability", "prediction": "p.h5:/v", "labels": "l.h5:/v", "section_range": [3, 6],
  "best": {"f": {"value": 0.75, "threshold": 0.5}},
  "volume": [{"threshold": 0.0, "f": 0.5}, {"threshold": 0.5, "f": 0.75}, {"threshold": 1.0, "f": null}],
  "worst_sections": [{"section": 4, "f": 0.5}],
  "sections": [{"section": 3, "best_f": 0.7, "best_f_threshold": 0.5}, {"section": 4, "best_f": 0.5, "best_f_threshold": 0.5},
               {"section": 5, "best_f": 0.9, "best_f_threshold": 0.5}], "run": {"ranks": 2, "seconds": 1.5}})";

TEST(MetricsTable, ReadsColumnsAndEmptyFields) {
  const MetricsTable table =
      read_metrics(std::string(kHeader) + "1,0.5,2.5,0.4,0.01,1.5,,\n2,1,1.5,0.3,0.01,3,0.25,1\n");
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.unreadable, 0);
  EXPECT_EQ(table.column("loss"), (std::vector<double>{2.5, 1.5}));
  EXPECT_TRUE(std::isnan(table.column("validation_pixel_error")[0]));
  EXPECT_EQ(table.column("validation_pixel_error")[1], 0.25);
  EXPECT_TRUE(std::isnan(table.column("no such")[1]));
  EXPECT_EQ(best_iteration(table), 2);
  EXPECT_EQ(metric_curve(table, "validation_pixel_error", "", 1, PlotSeries::Style::line).points.size(), 1U);
}

TEST(MetricsTable, DamagedRowsAreCountedAndSkipped) {
  const std::string head = kHeader;
  EXPECT_EQ(read_metrics(head + "1,0.5,2.5,0.4,0.01,1.5,,\n2,1,1.5,0.").rows.size(), 1U)
      << "truncated by a kill";
  EXPECT_EQ(read_metrics(head + "1,0.5,2.5,0.4,0.01,1.5,,\n2,1,1.5,0.").unreadable, 1);
  EXPECT_EQ(read_metrics(head + "1,0.5,2.5,0.4,0.01,1.5,,").unreadable, 1) << "without a line end";
  EXPECT_EQ(read_metrics(head + "1,x,2.5,0.4,0.01,1.5,,\n").unreadable, 1);
  EXPECT_EQ(read_metrics(head + "1,2,3\n1,2,3,4,5,6,7,8,9\n").unreadable, 2);
  EXPECT_EQ(read_metrics(head + "1,0.5,2.5 ,0.4,0.01,1.5,,\n").unreadable, 1);
  EXPECT_EQ(read_metrics("a,b\r\n1,2\r\n\r\n").column("b"), std::vector<double>{2});
  EXPECT_TRUE(std::isnan(read_metrics("a\nnan\n").column("a")[0]));
  EXPECT_TRUE(read_metrics("").rows.empty());
  EXPECT_EQ(read_metrics(std::string("\0\xFF,\n1,2,3\n", 9)).rows.size(), 0U);
}

TEST(JsonReading, ToleratesMissingAndMistypedFields) {
  const Json json = Json::parse(R"({"a": {"b": 2, "s": "x", "l": [1]}, "n": null})");
  EXPECT_EQ(number_at(json, {"a", "b"}), 2);
  EXPECT_EQ(text_at(json, {"a", "s"}), "x");
  EXPECT_EQ(list_at(json, {"a", "l"}).size(), 1U);
  EXPECT_TRUE(std::isnan(number_at(json, {"a", "s"})));
  EXPECT_TRUE(std::isnan(number_at(json, {"a", "b", "c"})));
  EXPECT_EQ(text_at(json, {"a", "b"}), "");
  EXPECT_TRUE(list_at(json, {"a"}).empty());
  EXPECT_TRUE(json_at(Json(), {"a"}).is_null());
  EXPECT_EQ(whole_at(Json::parse("{\"w\": 1.5}"), {"w"}), -1);
}

TEST(SectionsToCompare, WorstOfEachAndTheLargestChange) {
  const auto evaluation = [](std::vector<double> scores) {
    Json json{{"kind", "probability"}, {"sections", Json::array()}};
    for (std::size_t i = 0; i < scores.size(); ++i)
      json["sections"].push_back({{"section", i}, {"best_f", scores[i]}});
    return json;
  };
  const auto chosen = sections_to_compare(evaluation({0.5, 0.9, 0.8, 0.7}), evaluation({0.6, 0.4, 0.2, 0.7}));
  ASSERT_EQ(chosen.size(), 2U);
  EXPECT_EQ(chosen[0].section, 0);
  EXPECT_EQ(chosen[0].why, "the worst in A");
  EXPECT_EQ(chosen[1].section, 2);
  EXPECT_EQ(chosen[1].why, "the worst in B and the largest change");
  const auto three = sections_to_compare(evaluation({0.5, 0.9, 0.8, 0.7}), evaluation({0.6, 0.45, 0.4, 0.7}));
  ASSERT_EQ(three.size(), 3U);
  EXPECT_EQ(three[2].section, 1);
  EXPECT_EQ(three[2].why, "the largest change");
  EXPECT_TRUE(sections_to_compare(evaluation({0.5}), Json()).empty());
  EXPECT_TRUE(sections_to_compare(evaluation({0.5}),
                                  Json{{"kind", "labels"}, {"sections", {{{"section", 0}, {"voi", 1.0}}}}})
                  .empty());
}

class RunRecordTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    write_text_file(folder_ / name, content);
  }
  RunRecord read() { return read_run(folder_.path().string()); }
  std::string complaint(const std::string& argument) {
    try {
      read_run(argument);
    } catch (const UsageError& error) {
      return error.what();
    }
    return {};
  }

  testing::TemporaryFolder folder_;
};

TEST_F(RunRecordTest, AFolderWithoutARunIsAUsageError) {
  EXPECT_NE(complaint(folder_.path().string()).find("holds no file of a run"), std::string::npos);
  EXPECT_NE(complaint((folder_ / "none").string()).find("does not exist"), std::string::npos);
  write("notes.txt", "x");
  EXPECT_NE(complaint((folder_ / "notes.txt").string()).find("neither a run folder nor"), std::string::npos);
  write("other.json", "[1]");
  EXPECT_NE(complaint((folder_ / "other.json").string()).find("no result of 'tessera evaluate --json'"),
            std::string::npos);
  write("good.yaml", "experiment: x\nrun_folder: " + (folder_ / "runs/x").string() + "\n");
  EXPECT_NE(complaint((folder_ / "good.yaml").string()).find("run 'tessera train"), std::string::npos);
}

TEST_F(RunRecordTest, ReadsConfigsOfBothVerbs) {
  write(
      "config.yaml",
      "experiment: one\ndata:\n  train_sections: [0, 16]\ntrain:\n  iterations: 20\ninfer:\n  tile: auto\n");
  write("inference.yaml", "experiment: one\ntrain:\n  iterations: 999\ninfer:\n  tile: 572\n  more: x\n");
  const RunRecord record = read();
  EXPECT_EQ(record.name, "one");
  EXPECT_EQ(record.config("train.iterations"), "20") << "keys of training are from the training's config";
  EXPECT_EQ(record.config("infer.tile"), "572") << "keys of inference are from the last inference's config";
  EXPECT_EQ(record.config("data.train_sections"), "[0, 16]");
  EXPECT_EQ(record.config("no.such"), "");
  EXPECT_EQ(record.all_config().size(), 5U);
  RunRecord other = record;
  other.training_config[2].value = "30";
  other.inference_config.pop_back();
  const auto differences = config_differences(record, other);
  ASSERT_EQ(differences.size(), 2U);
  EXPECT_EQ(differences[0].key + differences[0].a + differences[0].b, "train.iterations2030");
  EXPECT_EQ(differences[1].key + differences[1].a + differences[1].b, "infer.morex");
  EXPECT_TRUE(config_differences(record, record).empty());
}

TEST_F(RunRecordTest, DamagedFilesAreReportedAndTheRestIsShown) {
  write("metrics.csv", std::string(kHeader) + "1,0.5,2.5,0.4,0.01,1.5,,\nx\ny\n");
  write("evaluation.json", "{\"kind\": \"probab");
  write("inference.json", "[]");
  write("config.yaml", "a: [1\n");
  const RunRecord record = read();
  EXPECT_EQ(record.problems.size(), 4U);
  EXPECT_FALSE(record.has_evaluation());
  EXPECT_FALSE(record.has_inference());
  const std::string page = report_page(record);
  EXPECT_NE(page.find("evaluation.json is damaged: it is no JSON object"), std::string::npos);
  EXPECT_NE(page.find("2 rows cannot be read"), std::string::npos);
  EXPECT_NE(page.find("This run has not been scored"), std::string::npos);
}

TEST_F(RunRecordTest, ToleratesJsonOfOtherTypes) {
  for (const char* evaluation :
       {"{}", "{\"kind\": 3}",
        R"({"kind": "probability", "sections": [1, null, {"section": "x"}], "volume": {"a": 1},
         "best": [], "confusion": {"pixels": [[1], 2]}, "calibration": {"bins": [{"pixels": -1}]}, "worst_sections": 7})",
        R"({"kind": "labels", "volume_3d": 3, "sections": [{}]})",
        R"({"kind": "classes", "classes": [{"class": 0}, 5], "confusion": [[1, "x"], 3]})"}) {
    write("evaluation.json", evaluation);
    write("inference.json",
          R"({"workers": [1, {"rank": "x", "elapsed_s": -1}], "blocks": {"failed": [2]}, "elapsed_s": "x"})");
    const RunRecord record = read();
    EXPECT_NE(report_page(record).find("</html>"), std::string::npos);
    EXPECT_NE(compare_page(record, record).find("</html>"), std::string::npos);
  }
}

TEST_F(RunRecordTest, UsesOnlyCompletePicturesOfThisEvaluation) {
  write("evaluation.json", kEvaluation);
  const std::vector<std::uint8_t> pixels(6 * 4 * 3, 100);
  for (const char* name : {"section_0003_first.png", "section_0004_worst.png", "section_0005_best.png",
                           "section_0003_worst.png", "section_0009_best.png", "section_0004.png"}) {
    std::filesystem::create_directories(folder_ / "evaluation");
    write_png(folder_ / (std::string("evaluation/") + name), 4, 6, 3, pixels);
  }
  RunRecord record = read();
  ASSERT_EQ(record.pictures.size(), 3U) << "section 3 is not the worst, section 9 not evaluated";
  EXPECT_EQ(record.pictures[0].width, 6);
  EXPECT_EQ(record.pictures[0].height, 4);
  EXPECT_TRUE(record.problems.empty());
  const std::string page = report_page(record);
  EXPECT_LT(page.find("Section 4, the worst: F 0.5000"), page.find("Section 5, the best: F 0.9000"));

  write("evaluation/section_0004_worst.png",
        file_text(folder_ / "evaluation/section_0004_worst.png", 10000).substr(0, 60));
  record = read();
  EXPECT_EQ(record.pictures.size(), 2U);
  ASSERT_EQ(record.problems.size(), 1U);
  EXPECT_NE(record.problems[0].find("no whole PNG"), std::string::npos);
}

TEST_F(RunRecordTest, EscapesHostileNames) {
  const std::string hostile = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\\\"'&";
  write("config.yaml", "experiment: \"" + hostile + "\"\ndata:\n  raw: \"" + hostile + "\"\n");
  write("version.txt", "<svg onload=alert(1)>");
  write("metrics.csv", std::string(kHeader) + "1,0.5,2.5,0.4,0.01,1.5,,\n");
  Json evaluation = Json::parse(kEvaluation);
  evaluation["labels"] = evaluation["prediction"] = hostile;
  write("evaluation.json", evaluation.dump());
  write("inference.json",
        Json{{"result", hostile},
             {"end", hostile},
             {"workers",
              {{{"host", hostile}, {"device", hostile}, {"rank", 1}, {"elapsed_s", 1}, {"read_s", 1}}}},
             {"blocks", {{"failed", {{{"place", hostile}, {"worker", hostile}, {"words", hostile}}}}}}}
            .dump());
  const RunRecord record = read();
  RunRecord other = record;
  other.name = hostile;
  other.place = hostile;
  other.problems.push_back(hostile);
  for (const std::string& page :
       {report_page(record), compare_page(record, other), compare_page(other, record)}) {
    EXPECT_EQ(page.find("<script>alert"), std::string::npos);
    EXPECT_EQ(page.find("<img src=x"), std::string::npos);
    EXPECT_EQ(page.find("<svg onload"), std::string::npos);
    EXPECT_NE(page.find("&lt;script&gt;alert(1)"), std::string::npos) << "it is shown unchanged";
  }
}

TEST_F(RunRecordTest, FailedBlocksAreListed) {
  write("inference.json",
        R"json({"end": "failed", "blocks": {"all": 9, "now": 8, "before": 0, "left": 1, "failed":
      [{"block": 4, "place": "z [0, 4)", "attempts": 3, "worker": "rank 2 on node7", "words": "cannot read"}]}, "workers": []})json");
  const std::string page = report_page(read());
  for (const char* words : {"1 block could not be predicted", "z [0, 4)", "rank 2 on node7", "cannot read"}) {
    EXPECT_NE(page.find(words), std::string::npos) << words;
  }
}

TEST_F(RunRecordTest, ComparisonSaysWhichIsBetterAndWhatDiffers) {
  write("evaluation.json", kEvaluation);
  const RunRecord a = read();
  RunRecord b = a;
  b.evaluation["best"]["f"]["value"] = 0.8;
  b.evaluation["labels"] = "other.h5:/v";
  const std::string page = compare_page(a, b);
  EXPECT_NE(page.find("B is better in 1 of 1 scores"), std::string::npos);
  EXPECT_NE(page.find(">+0.0500<"), std::string::npos);
  EXPECT_NE(page.find("against different labels: l.h5:/v and other.h5:/v"), std::string::npos);
  EXPECT_NE(compare_page(b, a).find("B is better in 0 of 1 scores"), std::string::npos);
  b.evaluation = Json();
  EXPECT_NE(compare_page(a, b).find("B has not been scored"), std::string::npos);
}

}  // namespace
}  // namespace tessera
