//! `getblockfilter`: compact filters of blocks (BIP 157, 158), made when they are asked for.

use std::collections::BTreeMap;

use bitcoin::bip158::{BlockFilter, Error as FilterError, FilterHeader};
use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::{BlockHash, OutPoint, ScriptBuf};
use chain::tree::HeaderInfo;
use chain::{Chain, CheckedBlock, Coin};
use serde_json::json;

use super::args::Args;
use super::blockchain::{known_header, read_body_and_spent};
use super::call::Handler::Scan;
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::Failure;
use super::reply::Reply;
use super::reply::reply;
use crate::Api;
use crate::filter_headers::FilterHeaders;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[Call {
    name: "getblockfilter",
    params: &[
        required("blockhash", Kind::Text, "the block's hash"),
        optional("filtertype", Kind::Text, "basic (default)"),
    ],
    help: "Gives a block's compact filter and the header of the chain of filters. The first call walks through all blocks below; what it finds is \
           kept in memory.",
    likeness: Likeness::Core,
    handler: Scan(get_filter),
}];

fn get_filter(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let hash: BlockHash = args.hash(0)?;
    match args.opt_text(1)? {
        None | Some("basic") => {}
        Some(_) => return Err(Failure::not_found("Unknown filtertype")),
    }
    let path = node.read(|core| path_from_known(core.chain(), node.filter_headers(), &hash))?;
    let mut filter = None;
    for info in path.iter().rev() {
        if !node.is_wanted() {
            return Err(Failure::misc("Shutting down"));
        }
        // The chain is held for one block at a time.
        let (body, spent) = read_body_and_spent(node, info)?;
        if spent.is_none() && info.height.0 > 0 {
            // What it spends is not known, so there is no filter; and none of the blocks above has one.
            let text = "Filter not found. Block was not connected to active chain.";
            return Err(Failure::not_found(text));
        }
        let made = filter_of(&body, spent.as_deref())?;
        let mut known = node.filter_headers().lock();
        let previous = known.get(&info.header.prev_blockhash).copied();
        let header = made.filter_header(&previous.unwrap_or_else(FilterHeader::all_zeros));
        known.insert(info.hash, header);
        filter = Some((made, header));
    }
    let (filter, header) = filter.ok_or_else(|| Failure::internal("no filter was made"))?;
    reply(&json!({"filter": filter.content.to_lower_hex_string(), "header": header}))
}

/// The block and those below it whose filter headers are not known, from the top down.
fn path_from_known(
    chain: &Chain,
    headers: &FilterHeaders,
    hash: &BlockHash,
) -> Result<Vec<HeaderInfo>, Failure> {
    let known = headers.lock();
    let mut info = known_header(chain, hash)?;
    let mut path = vec![info];
    while info.height.0 > 0 && !known.contains_key(&info.header.prev_blockhash) {
        info = known_header(chain, &info.header.prev_blockhash)?;
        path.push(info);
    }
    Ok(path)
}

fn filter_of(body: &CheckedBlock, spent: Option<&[Coin]>) -> Result<BlockFilter, Failure> {
    let inputs = body.block().txdata.iter().skip(1).flat_map(|tx| &tx.input);
    let outpoints = inputs.map(|input| input.previous_output);
    let coins = spent.unwrap_or_default().iter();
    let scripts: BTreeMap<OutPoint, &ScriptBuf> = outpoints
        .zip(coins.map(|coin| &coin.output.script_pubkey))
        .collect();
    // Genesis spends nothing, whatever its inputs say: an empty script is not put into a filter.
    let nothing = ScriptBuf::new();
    let made =
        BlockFilter::new_script_filter(body.block(), |outpoint| match scripts.get(outpoint) {
            Some(script) => Ok((*script).clone()),
            None if spent.is_none() => Ok(nothing.clone()),
            None => Err(FilterError::UtxoMissing(*outpoint)),
        });
    made.map_err(|error| Failure::internal(format!("filter: {error}")))
}
