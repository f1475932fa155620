// Shows the document of this gateway. Nothing is asked of any other address.
const place = document.querySelector('#docs')
const { openapi } = document.body.dataset

/** Shows what `spec` says; requests that are tried out carry the token. */
function show (spec, token) {
  document.title = spec.info.title
  const ui = window.SwaggerUIBundle({
    spec,
    domNode: place,
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    // It would send the address of this page elsewhere.
    validatorUrl: null,
    onComplete: () => token && ui.preauthorizeApiKey('token', token)
  })
}

/** Asks for a token, for a document that takes one. */
function ask () {
  const form = document.createElement('form')
  const field = document.createElement('input')
  Object.assign(field, { type: 'password', autocomplete: 'off', required: true })
  field.setAttribute('aria-label', 'Token')
  const button = document.createElement('button')
  button.textContent = 'Show'
  form.append('These services are told to those who have a token: ', field, ' ', button)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    load(field.value)
  })
  place.replaceChildren(form)
}

async function load (token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {}
  const answer = await fetch(openapi, { headers })
  if (answer.status === 401) return ask()
  if (!answer.ok) {
    place.textContent = `The services can not be shown: ${answer.status} ${(await answer.json()).message}`
    return
  }
  show(await answer.json(), token)
}

load()
