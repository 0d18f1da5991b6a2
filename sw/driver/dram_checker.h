/* A referee of a DRAM channel's commands: it knows a table of rules (sw/driver/dram_rules.py makes it) and how often to refresh, but
 * neither the chip's state nor who sends the commands. */
#ifndef CELOSIA_DRAM_CHECKER_H
#define CELOSIA_DRAM_CHECKER_H

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dram_command.h"

namespace dram {

enum Scope : uint32_t { CHANNEL, GROUP, BANK };

/* In each channel, group or bank (scope) the command `later` comes at least `delay` cycles after the `window` latest commands `earlier`,
 * that is, after the first of them. Commands for all banks are in every group and bank. */
struct Rule {
    const char *name;
    uint32_t earlier, later, scope, delay, window;
};

class Checker {
    static constexpr int64_t NEVER = INT64_MIN / 2;

public:
    /* refresh_interval: 0 if refresh is off. Of refreshes, one in each interval on average, at most `postponed` may be late, and as many
     * count that are early. The rules' names must last as long as the checker. */
    Checker(uint32_t groups, uint32_t group_banks, const std::vector<Rule> &rules, uint32_t refresh_interval, uint32_t postponed)
        : m_group_banks(group_banks)
        , m_banks(groups * group_banks)
        , m_first{0, 1, 1 + groups, 1 + groups + m_banks}
        , m_rules(rules)
        , m_broken(rules.size())
        , m_interval(refresh_interval)
        , m_postponed(postponed)
        , m_owed((m_postponed + 1) * m_interval) {
        for (const Rule &rule : rules) m_depth = std::max(m_depth, rule.window);
        m_times.assign(OPCODES * m_first.back() * m_depth, NEVER);
        for (uint32_t i = 0; i < rules.size(); ++i) m_rules_of[rules[i].later].push_back(i);
    }

    /* The command in cycle `now`, also if it is NOP; cycles come in their order. bank: ignored by commands for all banks. */
    void check(int64_t now, uint32_t opcode, uint32_t bank) {
        if (m_interval) check_refresh(now, opcode);
        if (opcode == NOP || opcode >= OPCODES || (of_one_bank(opcode) && bank >= m_banks)) return; /* dram_chip.h's to see */
        for (const uint32_t index : m_rules_of[opcode]) check_rule(now, index, opcode, bank);
        for (const Scope scope : {CHANNEL, GROUP, BANK}) remember(now, scope, opcode, bank);
    }

    /* How often the rule of that index in the table was broken. */
    uint64_t broken(uint32_t index) const { return m_broken[index]; }
    /* How often a refresh was late. */
    uint64_t late_refreshes() const { return m_late; }
    uint64_t violations() const { return m_violations; }
    /* The first one, "" if there is none. */
    const std::string &violation() const { return m_violation; }

private:
    /* The first and the end of the places of that scope in which the command is: channel, groups and banks are numbered in a row. */
    std::pair<uint32_t, uint32_t> places(uint32_t scope, uint32_t opcode, uint32_t bank) const {
        const uint32_t first = m_first[scope];
        if (scope == CHANNEL || !of_one_bank(opcode)) return {first, m_first[scope + 1]};
        const uint32_t place = first + (scope == GROUP ? bank / m_group_banks : bank);
        return {place, place + 1};
    }

    int64_t *latest(uint32_t opcode, uint32_t place) { return &m_times[(opcode * m_first.back() + place) * m_depth]; }

    void remember(int64_t now, Scope scope, uint32_t opcode, uint32_t bank) {
        const auto [first, end] = places(scope, opcode, bank);
        for (uint32_t place = first; place < end; ++place) {
            int64_t *times = latest(opcode, place);
            std::copy_backward(times, times + m_depth - 1, times + m_depth);
            times[0] = now;
        }
    }

    void check_rule(int64_t now, uint32_t index, uint32_t opcode, uint32_t bank) {
        const Rule &rule = m_rules[index];
        const auto [first, end] = places(rule.scope, opcode, bank);
        for (uint32_t place = first; place < end; ++place) {
            const int64_t passed = now - latest(rule.earlier, place)[rule.window - 1];
            if (passed >= rule.delay) continue;
            ++m_broken[index];
            std::string what = KINDS[opcode].name;
            if (of_one_bank(opcode)) what += " bank " + std::to_string(bank);
            what += " comes " + std::to_string(passed) + " cycles after ";
            if (rule.window > 1) what += "the first of " + std::to_string(rule.window) + " ";
            violate(now, what + KINDS[rule.earlier].name + ": " + rule.name + " is " + std::to_string(rule.delay));
            return;
        }
    }

    /* m_owed: when one refresh more than may be postponed would be owed. */
    void check_refresh(int64_t now, uint32_t opcode) {
        const int64_t longest = (m_postponed + 1) * m_interval;
        if (now > std::min(m_owed, m_refreshed + longest)) {
            ++m_late;
            violate(now, "a refresh is late: tREFI is " + std::to_string(m_interval));
            m_owed += m_interval; /* it is forgiven: the next one is counted */
            m_refreshed += m_interval;
        }
        if (opcode != REF) return;
        m_owed = std::min(m_owed + m_interval, now + longest + m_postponed * m_interval);
        m_refreshed = now;
    }

    void violate(int64_t now, const std::string &what) {
        if (!m_violations++) m_violation = "cycle " + std::to_string(now) + ": " + what;
    }

    const uint32_t m_group_banks, m_banks;
    const std::array<uint32_t, 4> m_first; /* place of each scope, and the end */
    uint32_t m_depth = 1;
    const std::vector<Rule> m_rules;
    std::array<std::vector<uint32_t>, OPCODES> m_rules_of; /* indices of those of a later command */
    std::vector<int64_t> m_times;                          /* of each command in each place, the latest first */
    std::vector<uint64_t> m_broken;
    const int64_t m_interval, m_postponed;
    int64_t m_owed, m_refreshed = 0;
    uint64_t m_late = 0, m_violations = 0;
    std::string m_violation;
};

} /* namespace dram */

#endif
