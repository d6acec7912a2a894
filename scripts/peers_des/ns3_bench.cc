// ns-3 core. usage: ns3_bench [events] [pending per entity] [customers] [scheduler: Map Heap Calendar PriorityQueue]
#include "common.h"
#include "ns3/core-module.h"
#include <deque>
#include <vector>
using namespace ns3;
static const uint32_t N = 1024;
static uint64_t seen, events;
static std::vector<uint32_t> counts(N);
static Rng rng(1);
static Time Delay() { return NanoSeconds(int64_t((0.1 + rng.exp(1.0)) * 1e9)); }
static void Job(uint32_t me) {
  counts[me]++;
  if (++seen == events) {
    Simulator::Stop();
    return;
  }
  uint32_t dst = rng.below(N);
  Simulator::Schedule(Delay(), &Job, dst);
}
static Ahead ra(11, 1.25), rb(12, 1.0);
static std::deque<int64_t> line;
static uint64_t arrived, left_, customers;
static double sum;
static void Leave() {
  left_++;
  sum += double(Simulator::Now().GetNanoSeconds() - line.front()) * 1e-9;
  line.pop_front();
  if (!line.empty()) Simulator::Schedule(NanoSeconds(int64_t(rb.take() * 1e9)), &Leave);
}
static void Arrive() {
  arrived++;
  line.push_back(Simulator::Now().GetNanoSeconds());
  if (line.size() == 1) Simulator::Schedule(NanoSeconds(int64_t(rb.take() * 1e9)), &Leave);
  if (arrived < customers) Simulator::Schedule(NanoSeconds(int64_t(ra.take() * 1e9)), &Arrive);
}
static void Use(const std::string& s) {
  ObjectFactory f;
  f.SetTypeId("ns3::" + s + "Scheduler");
  Simulator::SetScheduler(f);
}
int main(int argc, char** argv) {
  events = argc > 1 ? std::stoull(argv[1]) : 2000000;
  uint64_t m = argc > 2 ? std::stoull(argv[2]) : 1;
  customers = argc > 3 ? std::stoull(argv[3]) : 1000000;
  std::string sched = argc > 4 ? argv[4] : "Map";
  Use(sched);
  for (uint32_t e = 0; e < N; e++)
    for (uint64_t k = 0; k < m; k++) Simulator::Schedule(Delay(), &Job, e);
  {
    Watch w;
    Simulator::Run();
    uint64_t mix = 0;
    for (uint32_t i = 0; i < N; i++) mix += uint64_t(counts[i]) * (i + 1);
    w.report("phold-1024-" + std::to_string(m), "ns3-" + sched, seen,
             "end=" + std::to_string(Simulator::Now().GetSeconds()) + ",mix=" + std::to_string(mix));
  }
  Simulator::Destroy();
  if (m == 1) {
    Use(sched);
    Watch w;
    Simulator::Schedule(NanoSeconds(int64_t(ra.take() * 1e9)), &Arrive);
    Simulator::Run();
    w.report("mm1", "ns3-" + sched, left_, "sojourn=" + std::to_string(sum / double(left_)));
    Simulator::Destroy();
  }
}
