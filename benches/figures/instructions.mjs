// Instructions a call takes, of caller and service together: a figure that no busy machine changes much.
import { program } from '../programs.mjs'

export const about = 'instructions a call, counted by callgrind'
export const contestants = ['rachis']
export const needs = ['valgrind']
export const rounds = () => 1

const CALLERS = [1, 64]
// Two lengths, so that their difference is of calls alone.
const FEW = 500
const MANY = 2500

export const rows = () => CALLERS.map(callers => ({
  key: `callers ${callers}`, name: `instructions a call (both ends), callers: ${callers}`
}))

export async function measure (stage) {
  const values = {}
  for (const callers of CALLERS) {
    const [few, many] = [await count(stage, FEW, callers), await count(stage, MANY, callers)]
    values[`callers ${callers}`] = (many - few) / (MANY - FEW)
  }
  return values
}

async function count (stage, calls, callers) {
  const { url } = await stage.redis()
  const words = ['--tool=callgrind', '--callgrind-out-file=/dev/null', program('mesh'), 'instructions', '--redis', url]
  const run = stage.start('valgrind', [...words, '--calls', calls, '--callers', callers])
  const { answered } = await run.figure()
  await run.ended(0)
  if (answered !== calls) throw new Error(`${calls - answered} of ${calls} calls failed`)
  await stage.clear()
  return Number(/Collected : (\d+)/.exec(run.errors)[1])
}
