// What a GPU does in training, on the CPU.
#include <gmock/gmock.h>

#include "io/base/error.h"
#include "tests/unit/error_message.h"
#include "trainer_fixture.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using testing::keras_style;
using testing::message_of;
using testing::paper_style;
using testing::TrainerTest;

class TrainerOnDeviceTest : public TrainerTest {
 protected:
  TrainerOnDeviceTest() {
    options_.samples.augmentation.elastic = 3;
    options_.clip_norm = 0.5;
    options_.average_decay = 0.9;
    options_.global_batch = 5;
  }
  void stay_on_device(std::int64_t samples_at_once) {
    options_.sampling = SamplingPlace::device;
    options_.sums_on_device = true;
    options_.samples_at_once = samples_at_once;
  }
};

TEST_F(TrainerOnDeviceTest, TrainsAsOnTheHost) {
  for (UNetOptions network : {paper_style(), keras_style()}) {
    network.dropout = 0;
    options_.sampling = SamplingPlace::host;
    options_.sums_on_device = false;
    options_.samples_at_once = 1;
    const auto plain = trainer(network);
    const std::vector<double> expected = losses(*plain, 8);
    const TrainingStep last = plain->step(StopWish::none);
    for (const std::int64_t at_once : {1, 2, 8}) {
      stay_on_device(at_once);
      const auto training = trainer(network);
      EXPECT_THAT(training->engine_text(), HasSubstr("samples made on the device"));
      const std::vector<double> found = losses(*training, 8);
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_NEAR(found[i], expected[i], 1e-5 * expected[i]) << i << ", at once " << at_once;
      const TrainingStep step = training->step(StopWish::none);
      EXPECT_NEAR(step.gradient_norm, last.gradient_norm, 1e-3 * last.gradient_norm);
      EXPECT_NEAR(step.pixel_error, last.pixel_error, 2e-3);
      EXPECT_EQ(step.learning_rate, last.learning_rate);
      EXPECT_EQ(step.epoch, last.epoch);
      if (network.batch_norm) {
        EXPECT_EQ(state_of(*training).arrays.at("weights/norms.0.num_batches_tracked").bytes,
                  state_of(*plain).arrays.at("weights/norms.0.num_batches_tracked").bytes);
      }
    }
  }
}

TEST_F(TrainerOnDeviceTest, DropoutOfASampleIsIndependentOfItsBatch) {
  ASSERT_GT(paper_style().dropout, 0);
  stay_on_device(2);
  const std::vector<double> expected = losses(*trainer(paper_style()), 5);
  EXPECT_NEAR(losses(*trainer(paper_style()), 5).back(), expected.back(), 0);
  for (const std::int64_t at_once : {3, 5}) {
    options_.samples_at_once = at_once;
    const std::vector<double> found = losses(*trainer(paper_style()), 5);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(found[i], expected[i], 1e-5 * expected[i]) << i << ", at once " << at_once;
  }
  UNetOptions all_kept = paper_style();
  all_kept.dropout = 0;
  EXPECT_NE(losses(*trainer(all_kept), 1).front(), expected.front());
}

TEST_F(TrainerOnDeviceTest, ReportsAllIterationsSinceTheLastReport) {
  for (const bool on_device : {false, true}) {
    options_.sums_on_device = on_device;
    const std::vector<double> expected = losses(*trainer(paper_style()), 5);
    const auto training = trainer(paper_style());
    std::vector<double> found;
    const auto hear = [&](const TrainingStep& step) {
      found.push_back(step.loss);
      EXPECT_EQ(step.iteration, static_cast<std::int64_t>(found.size()));
    };
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(training->advance().stop, StopWish::none);
    EXPECT_TRUE(found.empty());
    training->report(hear);
    EXPECT_EQ(found.size(), 3U);
    EXPECT_EQ(training->advance().stop, StopWish::none);
    EXPECT_EQ(training->advance({.stop = StopWish::stop_early}).stop, StopWish::stop_early);
    training->report(hear);
    training->report(hear);
    EXPECT_EQ(found, expected);
  }
}

TEST_F(TrainerOnDeviceTest, ReportsTheIterationsBeforeANonFiniteOne) {
  options_.optimizer.learning_rate = 1e30;
  options_.clip_norm = 0;
  options_.average_decay = 0;
  for (const bool on_device : {false, true}) {
    options_.sums_on_device = on_device;
    const auto training = trainer(paper_style());
    int heard = 0;
    const auto hear = [&](const TrainingStep& step) {
      EXPECT_TRUE(std::isfinite(step.loss) && std::isfinite(step.gradient_norm));
      EXPECT_EQ(step.iteration, ++heard);
    };
    const std::string message = message_of([&] {
      for (int i = 0; i < 5; ++i)
        training->advance();
      training->report(hear);
    });
    training->report(hear);
    EXPECT_GE(heard, 1);
    EXPECT_LT(heard, 5);
    EXPECT_THAT(message, HasSubstr("at iteration " + std::to_string(heard + 1)));
  }
}

TEST_F(TrainerOnDeviceTest, ResumedEqualsNeverStopped) {
  for (const UNetOptions& network : {paper_style(), keras_style()}) {
    stay_on_device(network.batch_norm ? 1 : 2);
    const auto straight = trainer(network);
    const std::vector<double> expected = losses(*straight, 6);
    const auto first = trainer(network);
    losses(*first, 2);
    const auto second = trainer(network, 99);
    second->advance();
    second->restore(state_of(*first), "a.h5");
    EXPECT_EQ(losses(*second, 4), std::vector<double>(expected.begin() + 2, expected.end()));
    expect_same_state(state_of(*straight), state_of(*second));
  }
}

}  // namespace
}  // namespace tessera
