#include "workers/device/core_binding.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/unit/error_message.h"

namespace tessera {
namespace {

/// Two NUMA nodes of 4 cores with 2 hardware threads each. Linux numbers the second threads last.
constexpr const char* kTwoSockets =
    "pack:2 [numa] core:4 pu:2(indexes=0,8,1,9,2,10,3,11,4,12,5,13,6,14,7,15)";

std::vector<Cpu> two_sockets() {
  return CpuTopology::synthetic(kTwoSockets).cpus();
}

std::string share_text(const std::vector<Cpu>& cpus, int workers, int index) {
  return cpu_list_text(share_of_cpus(cpus, workers, index));
}

TEST(CpuTopology, KnowsNumaNodesAndCores) {
  const std::vector<Cpu> cpus = two_sockets();
  ASSERT_EQ(cpus.size(), 16U);
  for (const Cpu& cpu : cpus) {
    EXPECT_EQ(cpu.domain, cpu.id % 8 / 4) << cpu.id;
    EXPECT_EQ(cpu.core, cpu.id % 8) << cpu.id;
  }
}

TEST(CpuTopology, WithoutHardwareThreadsEachCoreIsOneCpu) {
  const std::vector<Cpu> cpus = CpuTopology::synthetic("pack:1 [numa] core:6 pu:1").cpus();
  ASSERT_EQ(cpus.size(), 6U);
  for (const Cpu& cpu : cpus) {
    EXPECT_EQ(cpu.domain, 0);
    EXPECT_EQ(cpu.core, cpu.id);
  }
}

TEST(CpuTopology, RejectsABadDescription) {
  EXPECT_NE(testing::message_of([] { CpuTopology::synthetic("nonsense"); }).find("nonsense"),
            std::string::npos);
}

TEST(CpuList, IsText) {
  EXPECT_EQ(cpu_list_text({8, 0, 1, 2, 3}), "0-3,8");
  EXPECT_EQ(cpu_list_text({7}), "7");
  EXPECT_EQ(cpu_list_text({}), "");
}

TEST(CpuShare, CoversAllOnce) {
  for (const int workers : {1, 2, 3, 5, 16}) {
    std::multiset<int> given;
    std::size_t least = 16, most = 0;
    for (int index = 0; index < workers; ++index) {
      const std::vector<int> share = share_of_cpus(two_sockets(), workers, index);
      given.insert(share.begin(), share.end());
      least = std::min(least, share.size());
      most = std::max(most, share.size());
    }
    EXPECT_EQ(given.size(), 16U) << workers;
    EXPECT_EQ(std::set<int>(given.begin(), given.end()).size(), 16U) << workers;
    EXPECT_LE(most - least, 1U) << workers;
  }
}

TEST(CpuShare, KeepsNumaNodesAndCoresWhole) {
  EXPECT_EQ(share_text(two_sockets(), 2, 0), "0-3,8-11");
  EXPECT_EQ(share_text(two_sockets(), 2, 1), "4-7,12-15");
  EXPECT_EQ(share_text(two_sockets(), 4, 2), "4-5,12-13");
  EXPECT_EQ(share_text(two_sockets(), 8, 7), "7,15");
}

TEST(CpuShare, SupportsNumaNodesWithAlternatingNumbers) {
  const std::vector<Cpu> cpus = CpuTopology::synthetic("pack:2 [numa] core:2 pu:1(indexes=0,2,1,3)").cpus();
  EXPECT_EQ(share_text(cpus, 2, 0), "0,2");
  EXPECT_EQ(share_text(cpus, 2, 1), "1,3");
}

TEST(CpuShare, IsEmptyForExcessWorkers) {
  EXPECT_TRUE(share_of_cpus(two_sockets(), 17, 0).empty());
}

TEST(Binding, HoldsForThreadsStartedLater) {
  const CpuTopology topology;
  const std::vector<Cpu> cpus = topology.allowed_cpus();
  ASSERT_FALSE(cpus.empty());
  std::vector<Cpu> after;
  std::thread([&] {  // a separate thread, because the binding of the other threads must not change
    if (!topology.bind({cpus.back().id})) return;
    std::thread([&] { after = topology.allowed_cpus(); }).join();
  })
      .join();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].id, cpus.back().id);
  EXPECT_EQ(topology.allowed_cpus().size(), cpus.size());
}

}  // namespace
}  // namespace tessera
