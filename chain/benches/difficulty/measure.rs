//! What is measured, and how it is told.

use crate::rules::Rule;
use crate::world::{Lie, SPACING_S, World};

const HOUR_S: f64 = 3_600.0;
const WEEK_S: f64 = 168.0 * HOUR_S;
/// Chains of their own for each situation that starts from a settled chain.
const RUNS: u64 = 100;

/// What one rule did.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    constant: Constant,
    halves: Change,
    doubles: Change,
    leaves: Change,
    returns: Change,
    hour: Change,
    week: Change,
    flapping: f64,
    hopper: f64,
    lies: [Lied; 4],
}

#[derive(Clone, Copy, Debug)]
struct Constant {
    mean: f64,
    uneven: f64,
    log_target: f64,
}

/// Medians over all runs, and sometimes more.
#[derive(Clone, Copy, Debug)]
struct Change {
    first: [f64; 3],
    settled: [f64; 2],
    spacing_at_60: f64,
    easy: [f64; 2],
    in_20: f64,
}

#[derive(Clone, Copy, Debug)]
struct Lied {
    share: f64,
    spacing: f64,
}

/// A title and how a rule's figures are told below it.
pub(crate) type Row = (&'static str, fn(&Figures) -> String);

impl Figures {
    pub(crate) const ROWS: [Row; 5] = [
        (
            "constant power: mean spacing | spread of spacings (1 is chance alone) | spread of ln target | power halves: blocks to 30 % | doubles",
            |f| {
                let Constant {
                    mean,
                    uneven,
                    log_target,
                } = f.constant;
                format!(
                    "{mean:.3} | {uneven:.2} | {log_target:.2} | {:.0} | {:.0}",
                    f.halves.settled[0], f.doubles.settled[0]
                )
            },
        ),
        (
            "98 % leaves: first block, median | 95 % | longest of 100 | blocks to 30 %, median | 95 % | expected spacing after 60 blocks | they return: easy blocks",
            |f| {
                let ([a, b, c], [d, e]) = (f.leaves.first, f.leaves.settled);
                format!(
                    "{a:.1} | {b:.1} | {c:.1} | {d:.0} | {e:.0} | {:.2} | {:.0}",
                    f.leaves.spacing_at_60, f.returns.easy[0]
                )
            },
        ),
        (
            "rest of an hour: easy blocks, median | most | blocks in 20 spacings | rest of a week: the same",
            |f| {
                let told =
                    |c: &Change| format!("{:.0} | {:.0} | {:.0}", c.easy[0], c.easy[1], c.in_20);
                format!("{} | {}", told(&f.hour), told(&f.week))
            },
        ),
        (
            "half the power goes and comes every 30 blocks: mean spacing | a hopper with three times the power: his blocks per hash, others 1",
            |f| format!("{:.2} | {:.2}", f.flapping, f.hopper),
        ),
        (
            "30 % lie, share and mean spacing: two hours ahead | at the median | in turn | as far as eased blocks may",
            |f| {
                let told = f
                    .lies
                    .map(|lied| format!("{:.2}, {:.2}", lied.share, lied.spacing));
                told.join(" | ")
            },
        ),
    ];
}

pub(crate) fn figures(rule: &dyn Rule) -> Figures {
    Figures {
        constant: constant(rule),
        halves: change(rule, 0.5, 0.0, 100),
        doubles: change(rule, 2.0, 0.0, 100),
        leaves: change(rule, 0.02, 0.0, 100),
        returns: change(rule, 50.0, 0.0, 400),
        hour: change(rule, 1.0, HOUR_S, 70),
        week: change(rule, 1.0, WEEK_S, 70),
        flapping: flapping(rule),
        hopper: hopper(rule),
        lies: [Lie::Ahead, Lie::Behind, Lie::Alternating, Lie::AsFarAsEased]
            .map(|lie| lies(rule, lie)),
    }
}

fn constant(rule: &dyn Rule) -> Constant {
    let mut world = World::settled(rule, 1, 200);
    let (first, from) = (world.blocks.len(), world.now);
    world.mine(10_000);
    let mean = world.mean_spacing(first, from);
    let blocks = &world.blocks;
    let spacings: Vec<f64> = (first..blocks.len())
        .map(|n| (blocks[n].found_at - blocks[n - 1].found_at) / SPACING_S)
        .collect();
    // Of a block in time: what an eased block had is no part of the average.
    let targets: Vec<f64> = (first..blocks.len())
        .map(|n| rule.target(&blocks[..n], blocks[n - 1].time).ln())
        .collect();
    Constant {
        mean,
        uneven: spread(&spacings) / mean,
        log_target: spread(&targets),
    }
}

fn spread(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / count).sqrt()
}

/// From one moment on the honest power is another, perhaps after a rest.
fn change(rule: &dyn Rule, power: f64, rest_s: f64, blocks: usize) -> Change {
    let mut first = Vec::new();
    let mut settled = Vec::new();
    let mut at_60 = Vec::new();
    let mut easy = Vec::new();
    let mut in_20 = Vec::new();
    for seed in 0..RUNS {
        let mut world = World::settled(rule, 1_000 + seed, 200);
        world.now += rest_s;
        world.honest = power;
        let from = world.now;
        let (mut easy_blocks, mut early, mut settled_after) = (0usize, 0usize, None);
        for n in 0..blocks {
            // The first one is expected from the last block on: not after a rest.
            let expected = world.expected();
            if n > 0 {
                easy_blocks += usize::from(expected < 0.5);
                if settled_after.is_none() && (0.77..1.3).contains(&expected) {
                    settled_after = Some(n);
                }
            }
            if n == 60 {
                at_60.push(expected);
            }
            world.mine(1);
            let since = (world.now - from) / SPACING_S;
            if n == 0 {
                first.push(since);
            }
            early += usize::from(since < 20.0);
        }
        easy.push(easy_blocks as f64);
        in_20.push(early as f64);
        settled.push(settled_after.unwrap_or(blocks) as f64);
    }
    Change {
        first: [0.5, 0.95, 1.0].map(|part| quantile(&first, part)),
        settled: [0.5, 0.95].map(|part| quantile(&settled, part)),
        spacing_at_60: quantile(&at_60, 0.5),
        easy: [0.5, 1.0].map(|part| quantile(&easy, part)),
        in_20: quantile(&in_20, 0.5),
    }
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// A rest of a week on a chain of so many blocks: the most easy blocks after it of all runs, and the median in the first 20 spacings.
pub(crate) fn rest_after(rule: &dyn Rule, blocks: usize) -> (f64, f64) {
    let (mut easy, mut early) = (Vec::new(), Vec::new());
    for seed in 0..RUNS {
        let mut world = World::settled(rule, 5_000 + seed, blocks);
        world.now += WEEK_S;
        let (from, mut easy_blocks, mut early_blocks) = (world.now, 0usize, 0usize);
        for n in 0..70 {
            easy_blocks += usize::from(n > 0 && world.expected() < 0.5);
            world.mine(1);
            early_blocks += usize::from(world.now - from < 20.0 * SPACING_S);
        }
        easy.push(easy_blocks as f64);
        early.push(early_blocks as f64);
    }
    (quantile(&easy, 1.0), quantile(&early, 0.5))
}

fn flapping(rule: &dyn Rule) -> f64 {
    let mut world = World::settled(rule, 2, 200);
    let (first, from) = (world.blocks.len(), world.now);
    for turn in 0..200 {
        world.honest = if turn % 2 == 0 { 2.0 } else { 1.0 };
        world.mine(30);
    }
    world.mean_spacing(first, from)
}

/// Comes when blocks are a tenth easier than they were on average, and goes when they are a fifth harder.
fn hopper(rule: &dyn Rule) -> f64 {
    let mut world = World::settled(rule, 3, 200);
    let (mut his, mut theirs) = ((0.0, 0.0), (0.0, 0.0));
    for _ in 0..6_000 {
        let blocks = &world.blocks;
        let recent = &blocks[blocks.len().saturating_sub(200)..];
        let average = recent.iter().map(|block| block.target).sum::<f64>() / recent.len() as f64;
        let target = rule.target(blocks, blocks[blocks.len() - 1].time) / average;
        if target > 1.1 {
            world.liar = 3.0;
        } else if target < 0.8 {
            world.liar = 0.0;
        }
        let before = world.now;
        world.mine(1);
        let spent = world.now - before;
        if world.blocks[world.blocks.len() - 1].by_liar {
            his.0 += 1.0;
        } else {
            theirs.0 += 1.0;
        }
        his.1 += world.liar * spent;
        theirs.1 += spent;
    }
    (his.0 / his.1) / (theirs.0 / theirs.1)
}

fn lies(rule: &dyn Rule, lie: Lie) -> Lied {
    let mut world = World::settled(rule, 4, 200);
    let (first, from) = (world.blocks.len(), world.now);
    (world.honest, world.liar, world.lie) = (0.7, 0.3, lie);
    world.mine(4_000);
    let by_liar = world.blocks[first..].iter().filter(|block| block.by_liar);
    Lied {
        share: by_liar.count() as f64 / 4_000.0,
        spacing: world.mean_spacing(first, from),
    }
}
