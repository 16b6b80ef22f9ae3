// Asks a testnet (`mend testnet up --instant --http`) as tests in JavaScript do: by fetch, and by these packages where they are installed.
//
//   node tests/js/regtest.mjs http://127.0.0.1:8080
//   npm install regtest-client bitcoinjs-lib@6 ecpair@2 tiny-secp256k1@2
//   JS_PACKAGES=. node tests/js/regtest.mjs http://127.0.0.1:8080

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import path from 'node:path'

const url = process.argv[2]
const segwit = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080'
const taproot = 'bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6'
const legacy = 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn'

async function ask (method, route, body) {
  const response = await fetch(url + route, { method, body })
  const text = await response.text()
  return { status: response.status, text, json: () => JSON.parse(text) }
}

async function good (method, route, body) {
  const answer = await ask(method, route, body)
  assert.equal(answer.status, 200, `${method} ${route}: ${answer.text}`)
  return answer.json()
}

const key = 'key=satoshi'
const before = await good('GET', '/1/b/best/height')
const blocks = await good('POST', `/1/r/generate?count=2&${key}`)
assert.equal(blocks.length, 2)
assert.equal(await good('GET', '/1/b/best/height'), before + 2)
assert.equal(await good('GET', '/1/b/best'), blocks[1])

const txId = await good('POST', `/1/r/faucet?address=${taproot}&value=12345&${key}`)
const unspents = await good('GET', `/1/a/${taproot}/unspents`)
assert.deepEqual(unspents, [{ txId, vout: 0, height: -1, value: 12345 }])
const tx = await good('GET', `/1/t/${txId}/json`)
assert.equal(tx.outs[0].address, taproot)
assert.equal(await good('POST', '/1/t/push', tx.txHex), txId)
await good('POST', `/1/r/generate?${key}`)
assert.equal((await good('GET', `/1/a/${taproot}/unspents`))[0].height, before + 3)

const given = await good('POST', '/faucet', JSON.stringify({ address: segwit, amount: '700 sat' }))
assert.equal(given.amount_sat, 700)
assert.equal((await ask('POST', '/faucet', '{')).status, 400)
assert.equal((await ask('POST', `/1/r/faucet?address=${legacy}&value=1000&${key}`)).status, 400)
assert.equal((await ask('POST', `/1/r/faucet?address=${segwit}&value=1000`)).status, 401)
console.log('fetch: ok')

/** A package from the folder `JS_PACKAGES`, or nothing. */
function installed (name) {
  try {
    return createRequire(path.resolve(process.env.JS_PACKAGES, 'x.js'))(name)
  } catch {
    console.log(`${name}: skipped, it is not in the folder that JS_PACKAGES names`)
  }
}

const client = installed('regtest-client')
if (client) {
  const utils = new client.RegtestUtils({ APIURL: url + '/1' })
  const height = await utils.height()
  assert.equal((await utils.mine(3)).length, 3)
  assert.equal(await utils.height(), height + 3)
  const coin = await utils.faucet(segwit, 54321)
  assert.equal(coin.value, 54321)
  await utils.verify({ txId: coin.txId, vout: coin.vout, address: segwit, value: 54321 })
  assert.ok((await utils.unspents(segwit)).some(unspent => unspent.txId === coin.txId))
  await utils.broadcast((await utils.fetch(coin.txId)).txHex)
  const script = Buffer.from('0014751e76e8199196d454941c45d1b3a323f1433bd6', 'hex')
  assert.equal((await utils.faucetComplex(script, 999)).value, 999)
  await assert.rejects(utils.faucet(utils.RANDOM_ADDRESS, 1000), /P2TR/)
  console.log('regtest-client: ok')
}

const bitcoin = installed('bitcoinjs-lib')
if (client && bitcoin) {
  // As bitcoinjs-lib's own integration tests do it: a coin of the faucet is spent to an address that nobody holds.
  const secp = installed('tiny-secp256k1')
  const { ECPairFactory } = installed('ecpair')
  bitcoin.initEccLib(secp)
  const utils = new client.RegtestUtils({ APIURL: url + '/1' })
  const network = utils.network
  const pair = ECPairFactory(secp).makeRandom({ network })
  const sink = utils.RANDOM_ADDRESS

  const pubkey = pair.publicKey
  const p2wpkh = bitcoin.payments.p2wpkh({ pubkey, network })
  await pay(p2wpkh, {}, pair)

  const internalPubkey = pubkey.subarray(1)
  const p2tr = bitcoin.payments.p2tr({ internalPubkey, network })
  const tweaked = pair.tweak(bitcoin.crypto.taggedHash('TapTweak', internalPubkey))
  const even = pubkey[0] === 2
  const negated = ECPairFactory(secp).fromPrivateKey(Buffer.from(secp.privateNegate(pair.privateKey)), { network })
  const signer = even ? tweaked : negated.tweak(bitcoin.crypto.taggedHash('TapTweak', internalPubkey))
  await pay(p2tr, { tapInternalKey: internalPubkey }, signer)

  async function pay (payment, more, signer) {
    const coin = await utils.faucetComplex(payment.output, 100000)
    const psbt = new bitcoin.Psbt({ network })
    psbt.addInput({
      hash: coin.txId,
      index: coin.vout,
      witnessUtxo: { script: payment.output, value: coin.value },
      ...more
    })
    psbt.addOutput({ address: sink, value: 90000 })
    psbt.signAllInputs(signer).finalizeAllInputs()
    const tx = psbt.extractTransaction()
    await utils.broadcast(tx.toHex())
    await utils.mine(1)
    await utils.verify({ txId: tx.getId(), address: sink, vout: 0, value: 90000 })
    assert.ok((await good('GET', `/1/t/${tx.getId()}/block`)).length === 64)
  }
  console.log('bitcoinjs-lib: ok, P2WPKH and P2TR are spent')
}
