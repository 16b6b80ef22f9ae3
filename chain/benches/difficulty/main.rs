//! Difficulty rules compared on simulated miners: `cargo bench -p chain --bench difficulty`. The same numbers on every run.
//!
//! Hash power 1 finds a block in one spacing at target 1. A block is "easy" if it is expected in less than half a spacing. Times and
//! spacings are in spacings of ten seconds, and header times in whole seconds. `ema` is the code that nodes run; the others are
//! models of a few lines.
#![expect(clippy::print_stdout, reason = "a table for people")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a simulation in floating point"
)]

mod measure;
mod rules;
mod world;

use measure::{Figures, figures};
use rules::{Asert, Ema, Lwma, OwnTime, Relative, Rule};

fn main() {
    let candidates: Vec<Box<dyn Rule>> = vec![
        Box::new(Asert { half_life: 60.0 }),
        Box::new(Lwma { blocks: 60 }),
        Box::new(Relative { memory: 20.0 }),
        Box::new(Relative { memory: 40.0 }),
        Box::new(OwnTime { memory: 20.0 }),
        Box::new(OwnTime { memory: 8.0 }),
        Box::new(Ema::with_half_life(10)),
        Box::new(Ema::with_half_life(14)),
        Box::new(Ema::with_half_life(20)),
        Box::new(Ema::with_half_life(30)),
        Box::new(Ema::with_half_life(14).believing_any_clock()),
    ];
    let all: Vec<(String, Figures)> = candidates
        .iter()
        .map(|rule| (rule.name(), figures(rule.as_ref())))
        .collect();
    for (title, row) in Figures::ROWS {
        println!("\n{title}\n");
        for (name, figures) in &all {
            println!("| {name} | {} |", row(figures));
        }
    }
    println!(
        "\nema, 14 blocks: rest of a week after so many blocks | easy blocks | in the first 20 spacings\n"
    );
    for blocks in [1, 10, 100, 1_000] {
        let (easy, early) = measure::rest_after(&Ema::with_half_life(14), blocks);
        println!("| {blocks} | {easy} | {early} |");
    }
}
