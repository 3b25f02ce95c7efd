#include "pipeline/run/progress.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "io/base/console.h"
#include "io/base/log.h"

namespace tessera {
namespace {

ProgressState training() {
  return {.what = "train",
          .unit = "iterations",
          .remark = "loss 0.1234",
          .done = 135,
          .total = 1200,
          .counts = true,
          .share = 0.1125,
          .per_s = 2.31,
          .left_s = 461};
}

TEST(Progress, CountsAreWhole) {
  EXPECT_EQ(progress_text(training()),
            "train: 11 %, 135 of 1200 iterations, 2.3/s, 7 min 41 s left, loss 0.1234");
  ProgressState slow = training();
  slow.per_s = 0.05;
  EXPECT_NE(progress_text(slow).find("20.0 s each"), std::string::npos);
  ProgressState volume{.what = "infer", .unit = "Mvoxels", .done = 12.34, .total = 130, .share = 0.095};
  EXPECT_EQ(progress_text(volume), "infer: 9 %, 12.3 of 130.0 Mvoxels, estimating the time");
}

TEST(Progress, IsOver) {
  ProgressState state = training();
  state.is_over = true;
  state.done = 1200;
  state.share = 1;
  state.left_s = 62;
  EXPECT_EQ(progress_text(state), "train: 100 %, 1200 of 1200 iterations, 2.3/s, in 1 min 02 s, loss 0.1234");
}

TEST(Progress, TheBarFitsEveryWidth) {
  ProgressState state = training();
  for (const double share : {0.0, 0.1125, 0.999, 1.0}) {
    state.share = share;
    for (int columns = 1; columns <= 220; ++columns) {
      const std::string bar = progress_bar(state, columns);
      EXPECT_LE(bar.size(), static_cast<std::size_t>(columns));
      EXPECT_TRUE(columns < 60 || bar.find(" left") != std::string::npos) << bar;
      EXPECT_TRUE(columns < 60 || bar.find('[') != std::string::npos) << bar;
      EXPECT_TRUE(columns < 79 || bar.find("iterations") != std::string::npos) << bar;
    }
  }
  state.share = 0.5;
  EXPECT_EQ(progress_bar(state, 200),
            "train  50 % [###############...............] 135 of 1200 iterations, 2.3/s, 7 min 41 s left, "
            "loss 0.1234");
}

/// What a Progress writes to standard error, without a terminal.
std::string written_by(const std::function<void()>& step) {
  ::testing::internal::CaptureStderr();
  step();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Progress, DrawsABarWhereAsked) {
  start_log("info", 0, 1);
  const std::string text = written_by([] {
    start_log("info", 0, 1);  // with the captured standard error
    console()->set_style(ProgressStyle::always);
    Progress progress("train", 4, "iterations", 1, true);
    for (int i = 0; i < 4; ++i)
      progress.add(1);
    progress.finish();
  });
  EXPECT_NE(text.find("1 of 4 iterations, estimating the time"), std::string::npos) << text;
  EXPECT_NE(text.find("train 100 %"), std::string::npos) << text;
  EXPECT_NE(text.find("4 of 4 iterations"), std::string::npos) << text;
  EXPECT_EQ(text.back(), '\n');
}

TEST(Progress, TheTimeLimitCounts) {
  const std::string text = written_by([] {
    start_log("info", 0, 1);
    console()->set_style(ProgressStyle::always);
    Progress progress("train", 1e6, "iterations", 1, true);
    for (int i = 0; i < 4; ++i) {
      progress.set_time(60 + i, 120);
      progress.add(1);
      std::this_thread::sleep_for(std::chrono::milliseconds(210));
    }
  });
  EXPECT_NE(text.find("train  50 %"), std::string::npos) << "60 of 120 s are over: " << text;
  EXPECT_NE(text.find("57 s left"), std::string::npos) << text;
}

TEST(Progress, NothingIsDrawnWithoutATerminal) {
  const std::string text = written_by([] {
    start_log("info", 0, 1);
    Progress progress("train", 4, "iterations", 1, true);
    for (int i = 0; i < 4; ++i)
      progress.add(1);
    progress.finish();
  });
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace tessera
