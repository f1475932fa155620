// How soon a process serves after it was started.
import { get } from 'node:http'
import { gateway } from '../contestants.mjs'
import { program } from '../programs.mjs'

export const about = 'start-up: from the start of the process to what it is there for'
export const contestants = ['rachis']
export const needs = ['rachis']

export const rows = () => [
  { key: 'node', name: 'a node: start → announced, ms' },
  { key: 'gateway', name: 'a gateway: start → first answer through it, ms' }
]

export async function measure (stage) {
  const { url } = await stage.redis()
  const node = await timed(() => stage.ready(program('mesh'), ['serve', '--redis', url]))
  return { node, gateway: await timed(async () => answer((await gateway(stage, url)).said.url)) }
}

async function timed (act) {
  const begun = performance.now()
  await act()
  return performance.now() - begun
}

function answer (url) {
  return new Promise((resolve, reject) => {
    const take = response => {
      response.resume()
      if (response.statusCode === 200) resolve()
      else reject(new Error(`the gateway answers ${response.statusCode}`))
    }
    get(`${url}/echo/1`, take).on('error', reject)
  })
}
