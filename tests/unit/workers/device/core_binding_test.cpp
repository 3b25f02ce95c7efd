#include "workers/device/core_binding.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <set>
#include <thread>

namespace tessera {
namespace {

/// Two domains of 4 cores with 2 hardware threads each, counted as Linux does: the second threads come last.
std::vector<Cpu> two_sockets() {
  std::vector<Cpu> cpus;
  for (int id = 0; id < 16; ++id)
    cpus.push_back({id, id % 8 / 4, id % 8});
  return cpus;
}

TEST(CpuList, IsReadAndWritten) {
  EXPECT_EQ(parse_cpu_list("0-3,8"), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_cpu_list("7"), (std::vector<int>{7}));
  EXPECT_TRUE(parse_cpu_list("").empty());
  EXPECT_EQ(parse_cpu_list("2,x"), (std::vector<int>{2}));
  EXPECT_EQ(cpu_list_text({8, 0, 1, 2, 3}), "0-3,8");
  EXPECT_EQ(cpu_list_text({}), "");
}

TEST(CpuShare, CoversAllOnce) {
  for (const int workers : {1, 2, 3, 5, 16}) {
    std::multiset<int> given;
    std::size_t least = 16, most = 0;
    for (int place = 0; place < workers; ++place) {
      const std::vector<int> share = share_of_cpus(two_sockets(), workers, place);
      given.insert(share.begin(), share.end());
      least = std::min(least, share.size());
      most = std::max(most, share.size());
    }
    EXPECT_EQ(given.size(), 16U) << workers;
    EXPECT_EQ(std::set<int>(given.begin(), given.end()).size(), 16U) << workers;
    EXPECT_LE(most - least, 1U) << workers;
  }
}

TEST(CpuShare, KeepsDomainsAndCoresWhole) {
  EXPECT_EQ(cpu_list_text(share_of_cpus(two_sockets(), 2, 0)), "0-3,8-11");
  EXPECT_EQ(cpu_list_text(share_of_cpus(two_sockets(), 2, 1)), "4-7,12-15");
  EXPECT_EQ(cpu_list_text(share_of_cpus(two_sockets(), 4, 2)), "4-5,12-13");
  EXPECT_EQ(cpu_list_text(share_of_cpus(two_sockets(), 8, 7)), "7,15");
}

TEST(CpuShare, IsEmptyWhereThereAreMoreWorkers) {
  EXPECT_TRUE(share_of_cpus(two_sockets(), 17, 0).empty());
}

TEST(Binding, HoldsForThreadsToCome) {
  const std::vector<Cpu> cpus = allowed_cpus();
  ASSERT_FALSE(cpus.empty());
  std::vector<Cpu> after;
  std::thread([&] {  // a thread of its own: the others of this program keep theirs
    if (!bind_to_cpus({cpus.back().id})) return;
    std::thread([&] { after = allowed_cpus(); }).join();
  })
      .join();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].id, cpus.back().id);
  EXPECT_EQ(allowed_cpus().size(), cpus.size());
}

}  // namespace
}  // namespace tessera
