export const api = {
  apiURL: (route) => `/api${route}`,
  fetchApi: (route, about) => fetch(`/api${route}`, about),
};
