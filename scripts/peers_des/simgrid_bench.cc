// SimGrid S4U. usage: simgrid_bench phold [events] [pending] | mm1 [customers] | star|tree [total] [concurrent] [hosts] [latency of a link in ns]
// PHOLD is a process per pending event (sleep, then move to a random entity): S4U has no bare events.
// Flows: hosts behind split-duplex 125 MB/s access links, in a star or in racks of 8 behind links four times as fast; one
// kernel-side transfer per flow, pure max-min.
#include "common.h"
#include <cstdlib>
#include <simgrid/s4u.hpp>
#include <vector>
namespace sg = simgrid::s4u;
static sg::NetZone* star(int hosts, double bw, double lat) {
  auto* z = sg::create_star_zone("star");
  for (int i = 0; i < hosts; i++) {
    auto* h = z->create_host("h" + std::to_string(i), 1e9);
    auto* l = z->create_split_duplex_link("l" + std::to_string(i), bw);
    l->set_latency(lat);
    l->seal();
    z->add_route(h->get_netpoint(), nullptr, nullptr, nullptr, {{l, sg::LinkInRoute::Direction::UP}}, true);
  }
  z->seal();
  return z;
}
static sg::NetZone* tree(int hosts, double bw, double lat) {
  const int rack = 8;
  auto* z = sg::create_full_zone("tree");
  auto link = [&](const std::string& name, double rate) {
    auto* l = z->create_split_duplex_link(name, rate);
    l->set_latency(lat);
    l->seal();
    return l;
  };
  std::vector<sg::Host*> hs;
  std::vector<const sg::SplitDuplexLink*> own, up;
  for (int i = 0; i < hosts; i++) {
    if (i % rack == 0) up.push_back(link("rack" + std::to_string(i / rack), bw * rack / 2));
    hs.push_back(z->create_host("h" + std::to_string(i), 1e9));
    own.push_back(link("l" + std::to_string(i), bw));
  }
  using Dir = sg::LinkInRoute::Direction;
  for (int i = 0; i < hosts; i++)
    for (int j = 0; j < hosts; j++) {
      if (i == j) continue;
      std::vector<sg::LinkInRoute> path{{own[i], Dir::UP}};
      if (i / rack != j / rack) {
        path.emplace_back(up[i / rack], Dir::UP);
        path.emplace_back(up[j / rack], Dir::DOWN);
      }
      path.emplace_back(own[j], Dir::DOWN);
      z->add_route(hs[i]->get_netpoint(), hs[j]->get_netpoint(), nullptr, nullptr, path, false);
    }
  z->seal();
  return z;
}
int main(int argc, char** argv) {
  sg::Engine e(&argc, argv);
  std::string mode = argc > 1 ? argv[1] : "star";
  auto num = [&](int i, uint64_t d) { return argc > i ? std::stoull(argv[i]) : d; };
  sg::Engine::set_config("network/model:CM02");
  sg::Engine::set_config("network/crosstraffic:0");
  sg::Engine::set_config("network/TCP-gamma:0");
  if (mode == "phold") {
    uint64_t events = num(2, 500000), m = num(3, 1), seen = 0;
    star(1, 1e8, 1e-4);
    auto* h = sg::Host::by_name("h0");
    Rng rng(1);
    std::vector<uint32_t> counts(1024);
    for (int i = 0; i < 1024; i++)
      for (uint64_t k = 0; k < m; k++)
        sg::Actor::create("e", h, [&, i] {
          uint32_t me = i;
          while (seen < events) {
            sg::this_actor::sleep_for(0.1 + rng.exp(1.0));
            counts[me]++;
            seen++;
            me = rng.below(1024);
          }
        });
    Watch w;
    e.run();
    w.report("phold-1024-" + std::to_string(m), "simgrid-actors", seen, "end=" + std::to_string(sg::Engine::get_clock()));
  } else if (mode == "mm1") {
    uint64_t customers = num(2, 200000), left = 0;
    star(1, 1e8, 1e-4);
    auto* h = sg::Host::by_name("h0");
    auto sem = sg::Semaphore::create(0);
    Ahead a(11, 1.25), b(12, 1.0);
    std::vector<double> at;
    at.reserve(customers);
    double sum = 0;
    sg::Actor::create("source", h, [&] {
      for (uint64_t i = 0; i < customers; i++) {
        sg::this_actor::sleep_for(a.take());
        at.push_back(sg::Engine::get_clock());
        sem->release();
      }
    });
    sg::Actor::create("server", h, [&] {
      for (; left < customers; left++) {
        sem->acquire();
        sg::this_actor::sleep_for(b.take());
        sum += sg::Engine::get_clock() - at[left];
      }
    });
    Watch w;
    e.run();
    w.report("mm1", "simgrid-actors", left, "sojourn=" + std::to_string(sum / double(left)));
  } else {
    uint64_t total = num(2, 20000), live = num(3, 1000);
    int hosts = int(num(4, 100));
    (mode == "tree" ? tree : star)(hosts, 125e6, double(num(5, 1000)) * 1e-9);
    std::vector<sg::Host*> hs;
    for (int i = 0; i < hosts; i++) hs.push_back(sg::Host::by_name("h" + std::to_string(i)));
    Rng rng(7);
    uint64_t begun = 0, ended = 0;
    for (uint64_t k = 0; k < live; k++)
      sg::Actor::create("slot", hs[0], [&] {
        while (begun < total) {
          begun++;
          uint32_t s = rng.below(hosts), d = rng.below(hosts - 1);
          if (d >= s) d++;
          sg::Comm::sendto(hs[s], hs[d], uint64_t(rng.exp(10e6)) + 1);
          ended++;
        }
      });
    Watch w;
    e.run();
    w.report("flows-" + mode + "-" + std::to_string(hosts) + "-" + std::to_string(live), "simgrid", ended,
             "end=" + std::to_string(sg::Engine::get_clock()));
  }
}
