// A thread's own copies (cp.async) and a warpgroup's products (wgmma) that are under way. Part of runtime.h.
#pragma once

namespace host {

static inline void copy_16(void* to, const void* from, unsigned bytes) {
    check_aligned(to, 16);
    if (bytes) check_aligned(from, 16);
    if (!in_shared(to, 16)) fail("an asynchronous copy goes beyond shared memory");
    const Copy copy{(unsigned char*)to, (const unsigned char*)from, bytes};
    if (machine->early_copies) copy.land();
    else machine->current->copies.push_back(copy);
}

static inline void commit_copies() {
    Fiber& f = *machine->current;
    f.groups.push_back(f.copies.size());
}

// Lands all groups but the newest `pending`.
static inline void wait_for_copies(unsigned pending) {
    Fiber& f = *machine->current;
    f.unseen_copies = true;
    if (f.groups.size() <= pending) return;
    const size_t done = f.groups.size() - pending, copies = f.groups[done - 1];
    for (size_t i = 0; i < copies; i++) f.copies[i].land();
    f.copies.erase(f.copies.begin(), f.copies.begin() + copies);
    f.groups.erase(f.groups.begin(), f.groups.begin() + done);
    for (size_t& g : f.groups) g -= copies;
}

// What this thread wrote to shared memory becomes visible to tensor cores.
static inline void show_shared_memory() { machine->current->unseen_copies = false; }
static inline void show_registers() { machine->current->unseen_registers = false; }

static inline void start_product(const WarpgroupProduct& p) {
    Machine& m = *machine;
    for (Fiber& f : m.fibers)
        if (f.warp < m.warps.size() && f.state != State::Done && f.unseen_copies)
            fail("a product of a warpgroup reads copies that no fence has shown it");
    if (m.current->unseen_registers) fail("a product of a warpgroup adds to registers that no fence has shown it");
    if (m.early_copies) p.run(p);
    else m.current->products.push_back(p);
}

static inline void commit_products() {
    Fiber& f = *machine->current;
    f.product_groups.push_back(f.products.size());
}

// Does all groups but the newest `pending`.
static inline void wait_for_products(unsigned pending) {
    Fiber& f = *machine->current;
    f.unseen_registers = true;
    if (f.product_groups.size() <= pending) return;
    const size_t done = f.product_groups.size() - pending, products = f.product_groups[done - 1];
    for (size_t i = 0; i < products; i++) f.products[i].run(f.products[i]);
    f.products.erase(f.products.begin(), f.products.begin() + products);
    f.product_groups.erase(f.product_groups.begin(), f.product_groups.begin() + done);
    for (size_t& g : f.product_groups) g -= products;
}

}  // namespace host
